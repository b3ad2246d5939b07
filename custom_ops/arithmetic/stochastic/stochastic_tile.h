// Chains that are rounded stochastically, in scaled float32 under FpMode::kTowardZeroFlush (docs/design.md, "Stochastic
// rounding"). An Isa brings what tile_kernel.h and random_vectors.h name, and
//   WithShift(n, f)                       f of a function that moves a word's bits n to the left, or -n to the right
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
class DrawRounding {
 public:
  using V = typename Isa::V;
  using Integers = typename Isa::Integers;

  // Of a format with so many bits fewer than float32.
  DrawRounding(int random_bits, uint32_t unused_bits, uint32_t kept_bits, float max)
      : max_(Isa::Set(max)),
        kept_(Isa::SetInteger(kept_bits)),
        drawn_(Isa::SetInteger(((1u << random_bits) - 1) << (unused_bits - random_bits))),
        bits_(random_bits),
        place_(static_cast<int>(unused_bits) - random_bits) {}

  // How far a word's bits move to the left so that draw i of it lies below the last bit that is kept.
  int ShiftOf(int i) const { return place_ - i * bits_; }

  template <bool kSaturates, class Shift>
  V operator()(V value, Integers word, const Shift& shift) const {
    const Integers draw = Isa::AndIntegers(shift(word), drawn_);
    const V kept = Isa::KeepBits(Isa::AddToBits(value, draw), kept_);
    if constexpr (kSaturates) return Isa::Saturate(kept, max_);
    return kept;
  }
  V Saturated(V value) const { return Isa::Saturate(value, max_); }

 private:
  V max_;
  Integers kept_, drawn_;
  int bits_, place_;
};

// The steps. Rounded products come in a scale in which min_value / 2 is the smallest normal value, and leave it halved,
// so that those below min_value are flushed once they are rounded. Rescaled sums are formed in the scale of the
// products, and flushed on their way back.
template <class Isa, bool kRoundsProducts, bool kIsRescaled, bool kSaturates>
class StochasticArithmetic {
 public:
  using V = typename Isa::V;
  using Integers = typename Isa::Integers;
  static constexpr int kLanes = Isa::kLanes;
  static constexpr int kFirstStream = kRoundsProducts ? 0 : 1;  // of the draws: 0 is that of products

  explicit StochasticArithmetic(const StochasticConstants& c)
      : of_products_(c.random_bits, kRoundsProducts ? c.tile.product_shift : c.tile.accumulator_shift,
                     c.tile.product_kept_bits, c.tile.product_max),
        of_sums_(c.random_bits, c.tile.accumulator_shift, c.tile.accumulator_kept_bits, c.tile.accumulator_max),
        half_(Isa::Set(0.5f)),
        up_(Isa::Set(c.up)),
        down_(Isa::Set(c.down)),
        unscale0_(Isa::Set(c.tile.unscale[0])),
        unscale1_(Isa::Set(c.tile.unscale[1])) {}

  static V Zero() { return Isa::Zero(); }
  static V Load(const float* p) { return Isa::Load(p); }

  // Calls function(shift of the product's word, shift of the sum's) for draw i of these words.
  template <class Function>
  void WithShifts(int i, const Function& function) const {
    Isa::WithShift(of_sums_.ShiftOf(i), [&](const auto& of_sum) {
      if constexpr (!kRoundsProducts) return function(of_sum, of_sum);
      Isa::WithShift(of_products_.ShiftOf(i), [&](const auto& of_product) { function(of_product, of_sum); });
    });
  }

  template <int kCount, class ProductShift, class SumShift>
  void Step(V (&sums)[kCount], const float* x, const V (&w)[kCount], const Integers (&product_words)[kCount],
            const Integers (&sum_words)[kCount], const ProductShift& of_product, const SumShift& of_sum) const {
    if constexpr (kRoundsProducts) {
      V products[kCount];
      ForEach<kCount>([&](int v) { products[v] = Isa::BroadcastMultiply(x, w[v]); });
      ForEach<kCount>([&](int v) {
        const V rounded = of_products_.template operator()<kSaturates>(products[v], product_words[v], of_product);
        products[v] = Isa::Multiply(rounded, half_);
      });
      ForEach<kCount>([&](int v) {
        sums[v] =
            kIsRescaled ? Isa::MultiplyAdd(sums[v], up_, products[v]) : Isa::MultiplyAdd(products[v], down_, sums[v]);
      });
    } else {
      if constexpr (kIsRescaled) ForEach<kCount>([&](int v) { sums[v] = Isa::Multiply(sums[v], up_); });
      ForEach<kCount>([&](int v) { sums[v] = Isa::BroadcastMultiplyAdd(x, w[v], sums[v]); });
    }
    ForEach<kCount>([&](int v) {
      V sum = of_sums_.template operator()<false>(sums[v], sum_words[v], of_sum);
      if constexpr (kIsRescaled) sum = Isa::Multiply(sum, down_);
      sums[v] = kSaturates ? of_sums_.Saturated(sum) : sum;
    });
  }

  // Both are multiples of min_value's last bit: no sum below it rounds up.
  V Join(V total, V sum, Integers word, int i) const {
    V joined;
    Isa::WithShift(of_sums_.ShiftOf(i), [&](const auto& shift) {
      joined = of_sums_.template operator()<true>(Isa::Add(total, sum), word, shift);
    });
    return joined;
  }

  void Store(float* out, V total) const {
    const V value = Isa::Multiply(Isa::Multiply(total, unscale0_), unscale1_);
    Isa::Store(out, Isa::Add(value, Isa::Zero()));  // -0 + 0 = +0
  }

 private:
  const DrawRounding<Isa> of_products_, of_sums_;
  const V half_, up_, down_, unscale0_, unscale1_;
};

template <class Isa, class Arithmetic, int kRows, int kVectors>
class StochasticBlock {
 public:
  using V = typename Isa::V;
  using Words = typename Isa::Integers[kRows][kVectors];
  using Sums = V[kRows][kVectors];

  StochasticBlock(const StochasticConstants& c, const TileArgs& args, int row, int column)
      : arithmetic_(c),
        args_(args),
        row_(row),
        column_(column),
        random_(c.seed, c.random_bits, args.places, row, column, Arithmetic::kFirstStream, args.order->levels + 2) {}

  void Run() const {
    OuterSums<Arithmetic, kRows, kVectors> outer(*args_.order);
    constexpr int64_t kStep = kColumnPanel;
    const float* starts = args_.starts == nullptr ? nullptr : args_.starts + row_ * kStep + column_;
    const float* chain_starts = args_.order->is_one_chain ? starts : nullptr;
    if (starts != nullptr && chain_starts == nullptr) outer.Start(starts, kStep);
    for (int64_t begin = 0; begin < args_.depth; begin += args_.order->chunk()) {
      const int64_t end = std::min(begin + args_.order->chunk(), args_.depth);
      Sums sums;
      StartSums<Arithmetic, kRows, kVectors>(chain_starts, kStep, sums);
      SumChain(begin, end, sums);
      outer.Add(sums, end, args_.depth, [&](int level, bool is_first, const Sums& group, Sums& total) {
        if (!is_first) return Join(level, end, group, total);
        std::copy(&group[0][0], &group[0][0] + kRows * kVectors, &total[0][0]);  // a value of the format already
      });
    }
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        arithmetic_.Store(args_.out + (row_ + r) * kColumnPanel + column_ + v * Isa::kLanes, outer.total()[r][v]);
      }
    }
  }

 private:
  void SumChain(int64_t begin, int64_t end, Sums& sums) const {
    const int per_word = random_.per_word();
    for (int64_t k = begin; k < end;) {
      const int64_t group = k / per_word, last = std::min((group + 1) * per_word, end);
      Words of_products, of_sums;
      if constexpr (Arithmetic::kFirstStream == 0) random_.Words(0, group, of_products);
      random_.Words(1, group, of_sums);
      for (; k < last; ++k) {
        arithmetic_.WithShifts(static_cast<int>(k - group * per_word), [&](const auto& product, const auto& sum) {
          Step(k, of_products, of_sums, product, sum, sums);
        });
      }
    }
  }

  template <class ProductShift, class SumShift>
  void Step(int64_t k, const Words& of_products, const Words& of_sums, const ProductShift& product, const SumShift& sum,
            Sums& sums) const {
    V w[kVectors];
    ForEach<kVectors>([&](int v) { w[v] = Isa::Load(args_.columns + k * kColumnPanel + column_ + v * Isa::kLanes); });
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      arithmetic_.Step(sums[r], args_.rows + k * kRowPanel + row_ + r, w, of_products[r], of_sums[r], product, sum);
    }
  }

  // The draws of a join are those of its first product.
  void Join(int level, int64_t end, const Sums& group, Sums& total) const {
    const int64_t length = args_.order->lengths[level], first = (end - 1) / length * length;
    Words words;
    random_.Words(level + 2, first / random_.per_word(), words);
    const int i = static_cast<int>(first % random_.per_word());
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) {
        total[r][v] = arithmetic_.Join(total[r][v], group[r][v], words[r][v], i);
      }
    }
  }

  const Arithmetic arithmetic_;
  const TileArgs& args_;
  const int row_, column_;
  const RandomVectors<Isa, kRows, kVectors> random_;
};

template <class Isa, class Arithmetic, int kVectors>
[[gnu::flatten]] void RunBlock(const TileArgs& args, int row, int column) {
  const StochasticConstants& c = *static_cast<const StochasticConstants*>(args.constants);
  StochasticBlock<Isa, Arithmetic, Isa::kStochasticRows, kVectors>(c, args, row, column).Run();
}

// Panels hold rows and columns past the counts; what becomes of them is nobody's. A narrow rest takes a block that does
// all steps.
template <class Isa, bool kRoundsProducts, bool kIsRescaled, bool kSaturates>
void RunStochasticTile(const TileArgs& args) {
  using Narrow = StochasticArithmetic<Isa, kRoundsProducts, kIsRescaled, true>;
  using Wide = StochasticArithmetic<Isa, kRoundsProducts, kIsRescaled, kSaturates>;
  static_assert(kRowPanel % Isa::kStochasticRows == 0, "no block may pass the panel");
  for (int row = 0; row < args.row_count; row += Isa::kStochasticRows) {
    for (int column = 0; column < args.column_count; column += 2 * Isa::kLanes) {
      if (args.column_count - column > Isa::kLanes) {
        RunBlock<Isa, Wide, 2>(args, row, column);
      } else {
        RunBlock<Isa, Narrow, 1>(args, row, column);
      }
    }
  }
}

// By TileVariant::index(). No direct kernels: these are not told places.
template <class Isa>
TileKernels MakeStochasticKernels(CpuPath path, StochasticProducts products) {
  TileKernels kernels{path, FpMode::kTowardZeroFlush, {}, {}, {}};
  TileKernel* tile = kernels.tile;
  if (products == StochasticProducts::kExact) {
    std::fill(tile, tile + kMostVariants, RunStochasticTile<Isa, false, true, true>);
    tile[TileVariant{ProductStep::kFused, false}.index()] = RunStochasticTile<Isa, false, false, false>;
    tile[TileVariant{ProductStep::kFused, true}.index()] = RunStochasticTile<Isa, false, false, true>;
    return kernels;
  }
  const bool is_scaled = products == StochasticProducts::kScaled;
  const TileKernel light =
      is_scaled ? RunStochasticTile<Isa, true, false, false> : RunStochasticTile<Isa, true, true, false>;
  std::fill(tile, tile + kMostVariants,
            is_scaled ? RunStochasticTile<Isa, true, false, true> : RunStochasticTile<Isa, true, true, true>);
  tile[TileVariant{ProductStep::kExact, false}.index()] = light;
  tile[TileVariant{ProductStep::kRound, false}.index()] = light;
  return kernels;
}

template <class Isa>
const TileKernels& StochasticKernels(CpuPath path, StochasticProducts products) {
  using P = StochasticProducts;
  static const TileKernels kernels[] = {MakeStochasticKernels<Isa>(path, P::kExact),
                                        MakeStochasticKernels<Isa>(path, P::kScaled),
                                        MakeStochasticKernels<Isa>(path, P::kRescaled)};
  return kernels[static_cast<int>(products)];
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_STOCHASTIC_STOCHASTIC_TILE_H_
