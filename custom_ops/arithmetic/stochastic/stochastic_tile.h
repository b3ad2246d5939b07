// Chains that are rounded stochastically, in scaled float32 under FpMode::kTowardZeroFlush (docs/design.md, "Stochastic
// rounding"). An Isa brings what tile_kernel.h and random_vectors.h name, and
//   Turn, TurnBy(n), Turned(word, turn)   bits rotated to the left
//   AddToBits(v, i), KeepBits(v, i), AndIntegers(a, b)
//   kStochasticRows                       whose sums and words stay in registers
// Include it only from files that are compiled for one instruction set.
#ifndef LBA_ARITHMETIC_STOCHASTIC_STOCHASTIC_TILE_H_
#define LBA_ARITHMETIC_STOCHASTIC_STOCHASTIC_TILE_H_

#include <algorithm>

#include "arithmetic/stochastic/cpu_kernels.h"
#include "kernels/cpu/random_vectors.h"
#include "kernels/cpu/tile_kernel.h"

namespace lba {
namespace {  // each instruction set has its own copy

// Adds a draw below the last bit that is kept, and cuts.
template <class Isa>
class StochasticSums {
 public:
  using V = typename Isa::V;
  using Integers = typename Isa::Integers;
  using Turn = typename Isa::Turn;

  explicit StochasticSums(const StochasticConstants& c)
      : max_(Isa::Set(c.tile.accumulator_max)),
        unscale0_(Isa::Set(c.tile.unscale[0])),
        unscale1_(Isa::Set(c.tile.unscale[1])),
        kept_(Isa::SetInteger(c.tile.accumulator_kept_bits)),
        drawn_(Isa::SetInteger(((1u << c.random_bits) - 1) << (c.tile.accumulator_shift - c.random_bits))),
        bits_(c.random_bits),
        place_(static_cast<int>(c.tile.accumulator_shift) - c.random_bits) {}

  // How far a word is rotated so that draw i of it lies below the last bit that is kept.
  Turn TurnOf(int i) const { return Isa::TurnBy((place_ - i * bits_) & 31); }

  V Rounded(V sum, Integers word, Turn turn) const {
    const Integers draw = Isa::AndIntegers(Isa::Turned(word, turn), drawn_);
    return Isa::Saturate(Isa::KeepBits(Isa::AddToBits(sum, draw), kept_), max_);
  }

  void Store(float* out, V total) const {
    const V value = Isa::Multiply(Isa::Multiply(total, unscale0_), unscale1_);
    Isa::Store(out, Isa::Add(value, Isa::Zero()));  // -0 + 0 = +0
  }

  // For OuterSums.
  static constexpr int kLanes = Isa::kLanes;
  static V Zero() { return Isa::Zero(); }
  static V Load(const float* p) { return Isa::Load(p); }

 private:
  V max_, unscale0_, unscale1_;
  Integers kept_, drawn_;
  int bits_, place_;
};

template <class Isa, int kRows, int kVectors>
class StochasticBlock {
 public:
  using V = typename Isa::V;
  using Integers = typename Isa::Integers;
  using Turn = typename Isa::Turn;
  using Rounding = StochasticSums<Isa>;
  using Sums = V[kRows][kVectors];

  StochasticBlock(const StochasticConstants& c, const TileArgs& args, int row, int column)
      : sums_(c),
        args_(args),
        row_(row),
        column_(column),
        random_(c.seed, c.random_bits, args.places, row, column, 1, args.order->levels + 2) {}

  void Run() const {
    OuterSums<Rounding, kRows, kVectors> outer(*args_.order);
    constexpr int64_t kStep = kColumnPanel;
    const float* starts = args_.starts == nullptr ? nullptr : args_.starts + row_ * kStep + column_;
    const float* chain_starts = args_.order->is_one_chain ? starts : nullptr;
    if (starts != nullptr && chain_starts == nullptr) outer.Start(starts, kStep);
    for (int64_t begin = 0; begin < args_.depth; begin += args_.order->chunk()) {
      const int64_t end = std::min(begin + args_.order->chunk(), args_.depth);
      Sums sums;
      StartSums<Rounding, kRows, kVectors>(chain_starts, kStep, sums);
      SumChain(begin, end, sums);
      outer.Add(sums, end, args_.depth, [&](int level, bool is_first, const Sums& group, Sums& total) {
        if (!is_first) return Join(level, end, group, total);
        std::copy(&group[0][0], &group[0][0] + kRows * kVectors, &total[0][0]);  // a value of the format already
      });
    }
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        sums_.Store(args_.out + (row_ + r) * kColumnPanel + column_ + v * Isa::kLanes, outer.total()[r][v]);
      }
    }
  }

 private:
  void SumChain(int64_t begin, int64_t end, Sums& sums) const {
    const int per_word = random_.per_word();
    for (int64_t k = begin; k < end;) {
      const int64_t group = k / per_word, last = std::min((group + 1) * per_word, end);
      Integers words[kRows][kVectors];
      random_.Words(1, group, words);
      for (; k < last; ++k) Step(k, sums_.TurnOf(static_cast<int>(k - group * per_word)), words, sums);
    }
  }

  void Step(int64_t k, Turn turn, const Integers (&words)[kRows][kVectors], Sums& sums) const {
    V w[kVectors];
    ForEach<kVectors>([&](int v) { w[v] = Isa::Load(args_.columns + k * kColumnPanel + column_ + v * Isa::kLanes); });
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const float* x = args_.rows + k * kRowPanel + row_ + r;
      ForEach<kVectors>([&](int v) { sums[r][v] = Isa::BroadcastMultiplyAdd(x, w[v], sums[r][v]); });
      ForEach<kVectors>([&](int v) { sums[r][v] = sums_.Rounded(sums[r][v], words[r][v], turn); });
    }
  }

  // The draws of a join are those of its first product.
  void Join(int level, int64_t end, const Sums& group, Sums& total) const {
    const int64_t length = args_.order->lengths[level], first = (end - 1) / length * length;
    Integers words[kRows][kVectors];
    random_.Words(level + 2, first / random_.per_word(), words);
    const Turn turn = sums_.TurnOf(static_cast<int>(first % random_.per_word()));
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        total[r][v] = sums_.Rounded(Isa::Add(total[r][v], group[r][v]), words[r][v], turn);
      }
    }
  }

  const Rounding sums_;
  const TileArgs& args_;
  const int row_, column_;
  const RandomVectors<Isa, kRows, kVectors> random_;
};

template <class Isa, int kVectors>
[[gnu::flatten]] void RunBlock(const TileArgs& args, int row, int column) {
  const StochasticConstants& c = *static_cast<const StochasticConstants*>(args.constants);
  StochasticBlock<Isa, Isa::kStochasticRows, kVectors>(c, args, row, column).Run();
}

// Panels hold rows and columns past the counts; what becomes of them is nobody's.
template <class Isa>
void RunStochasticTile(const TileArgs& args) {
  static_assert(kRowPanel % Isa::kStochasticRows == 0, "no block may pass the panel");
  for (int row = 0; row < args.row_count; row += Isa::kStochasticRows) {
    for (int column = 0; column < args.column_count; column += 2 * Isa::kLanes) {
      if (args.column_count - column > Isa::kLanes) {
        RunBlock<Isa, 2>(args, row, column);
      } else {
        RunBlock<Isa, 1>(args, row, column);
      }
    }
  }
}

// No direct kernels: these are not told places.
template <class Isa>
TileKernels MakeStochasticKernels(CpuPath path) {
  TileKernels kernels{path, FpMode::kTowardZeroFlush, {}, {}, {}};
  std::fill(kernels.tile, kernels.tile + kMostVariants, RunStochasticTile<Isa>);
  return kernels;
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_STOCHASTIC_STOCHASTIC_TILE_H_
