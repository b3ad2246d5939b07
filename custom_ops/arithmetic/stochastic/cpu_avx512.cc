// Chains that are rounded stochastically, in scaled float32 under FpMode::kTowardZeroFlush (docs/design.md, "Stochastic
// rounding").
#if defined(__x86_64__)

#include <algorithm>

#include "arithmetic/stochastic/cpu_kernels.h"
#include "arithmetic/stochastic/random_vectors.h"
#include "kernels/cpu/avx512.h"
#include "kernels/cpu/tile_kernel.h"

namespace lba {
namespace {

// Adds a draw below the last bit that is kept, and cuts.
class StochasticSums {
 public:
  using V = __m512;

  explicit StochasticSums(const StochasticConstants& c)
      : max_(Avx512::Set(c.tile.accumulator_max)),
        unscale0_(Avx512::Set(c.tile.unscale[0])),
        unscale1_(Avx512::Set(c.tile.unscale[1])),
        kept_(_mm512_set1_epi32(static_cast<int>(c.tile.accumulator_kept_bits))),
        drawn_(_mm512_set1_epi32(((1 << c.random_bits) - 1) << (c.tile.accumulator_shift - c.random_bits))),
        bits_(c.random_bits),
        place_(static_cast<int>(c.tile.accumulator_shift) - c.random_bits) {}

  // How far a word is rotated so that draw i of it lies below the last bit that is kept.
  __m512i Turn(int i) const { return _mm512_set1_epi32((place_ - i * bits_) & 31); }

  V Rounded(V sum, __m512i word, __m512i turn) const {
    const __m512i draw = _mm512_and_si512(_mm512_rolv_epi32(word, turn), drawn_);
    const __m512i raised = _mm512_add_epi32(_mm512_castps_si512(sum), draw);
    return Avx512::Saturate(_mm512_castsi512_ps(_mm512_and_si512(raised, kept_)), max_);
  }

  void Store(float* out, V total) const {
    const V value = Avx512::Multiply(Avx512::Multiply(total, unscale0_), unscale1_);
    Avx512::Store(out, Avx512::Add(value, Avx512::Zero()));  // -0 + 0 = +0
  }

  // For OuterSums.
  static constexpr int kLanes = 16;
  static V Zero() { return Avx512::Zero(); }
  static V Load(const float* p) { return Avx512::Load(p); }

 private:
  V max_, unscale0_, unscale1_;
  __m512i kept_, drawn_;
  int bits_, place_;
};

template <int kRows, int kVectors>
class StochasticBlock {
 public:
  using V = __m512;
  using Sums = V[kRows][kVectors];

  StochasticBlock(const StochasticConstants& c, const TileArgs& args, int row, int column)
      : sums_(c),
        args_(args),
        row_(row),
        column_(column),
        random_(c.seed, c.random_bits, args.places, row, column, args.order->levels + 2) {}

  void Run() const {
    OuterSums<StochasticSums, kRows, kVectors> outer(*args_.order);
    constexpr int64_t kStep = kColumnPanel;
    const float* starts = args_.starts == nullptr ? nullptr : args_.starts + row_ * kStep + column_;
    const float* chain_starts = args_.order->is_one_chain ? starts : nullptr;
    if (starts != nullptr && chain_starts == nullptr) outer.Start(starts, kStep);
    for (int64_t begin = 0; begin < args_.depth; begin += args_.order->chunk()) {
      const int64_t end = std::min(begin + args_.order->chunk(), args_.depth);
      Sums sums;
      StartSums<StochasticSums, kRows, kVectors>(chain_starts, kStep, sums);
      SumChain(begin, end, sums);
      outer.Add(sums, end, args_.depth, [&](int level, bool is_first, const Sums& group, Sums& total) {
        if (!is_first) return Join(level, end, group, total);
        std::copy(&group[0][0], &group[0][0] + kRows * kVectors, &total[0][0]);  // a value of the format already
      });
    }
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        sums_.Store(args_.out + (row_ + r) * kColumnPanel + column_ + v * 16, outer.total()[r][v]);
      }
    }
  }

 private:
  void SumChain(int64_t begin, int64_t end, Sums& sums) const {
    const int per_word = random_.per_word();
    for (int64_t k = begin; k < end;) {
      const int64_t group = k / per_word, last = std::min((group + 1) * per_word, end);
      __m512i words[kRows][kVectors];
      random_.Words(1, group, words);
      for (; k < last; ++k) Step(k, sums_.Turn(static_cast<int>(k - group * per_word)), words, sums);
    }
  }

  void Step(int64_t k, __m512i turn, const __m512i (&words)[kRows][kVectors], Sums& sums) const {
    V w[kVectors];
    ForEach<kVectors>([&](int v) { w[v] = Avx512::Load(args_.columns + k * kColumnPanel + column_ + v * 16); });
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const float* x = args_.rows + k * kRowPanel + row_ + r;
      ForEach<kVectors>([&](int v) { sums[r][v] = Avx512::BroadcastMultiplyAdd(x, w[v], sums[r][v]); });
      ForEach<kVectors>([&](int v) { sums[r][v] = sums_.Rounded(sums[r][v], words[r][v], turn); });
    }
  }

  // The draws of a join are those of its first product.
  void Join(int level, int64_t end, const Sums& group, Sums& total) const {
    const int64_t length = args_.order->lengths[level], first = (end - 1) / length * length;
    __m512i words[kRows][kVectors];
    random_.Words(level + 2, first / random_.per_word(), words);
    const __m512i turn = sums_.Turn(static_cast<int>(first % random_.per_word()));
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        total[r][v] = sums_.Rounded(Avx512::Add(total[r][v], group[r][v]), words[r][v], turn);
      }
    }
  }

  const StochasticSums sums_;
  const TileArgs& args_;
  const int row_, column_;
  const RandomVectors<kRows, kVectors> random_;
};

template <int kRows, int kVectors>
[[gnu::flatten]] void RunBlock(const TileArgs& args, int row, int column) {
  const StochasticConstants& c = *static_cast<const StochasticConstants*>(args.constants);
  StochasticBlock<kRows, kVectors>(c, args, row, column).Run();
}

// Panels hold rows and columns past the counts; what becomes of them is nobody's.
void RunStochasticTile(const TileArgs& args) {
  constexpr int kRows = 4;
  static_assert(kRowPanel % kRows == 0, "no block may pass the panel");
  for (int row = 0; row < args.row_count; row += kRows) {
    if (args.column_count > 16) {
      RunBlock<kRows, 2>(args, row, 0);
    } else {
      RunBlock<kRows, 1>(args, row, 0);
    }
  }
}

}  // namespace

const TileKernels& StochasticAvx512Kernels() {
  static const TileKernels kernels = [] {
    TileKernels made{CpuPath::kAvx512, FpMode::kTowardZeroFlush, {}, {}, {}};
    std::fill(made.tile, made.tile + kMostVariants, RunStochasticTile);
    return made;
  }();
  return kernels;
}

}  // namespace lba

#endif  // __x86_64__
