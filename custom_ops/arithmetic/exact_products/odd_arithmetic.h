// Rounding to nearest even of x * w + s with a product of any bits, by way of rounding to odd (docs/design.md, "Exact
// products"). An Isa brings what nearest/scaled_arithmetic.h names, and
//   OddMultiplyAdd(a, b, c)   a * b + c to 24 bits: truncated, the last bit set where that is not exact
//   kOddMode                  in which mode: kNearestFlush; or kUpwardFlush, where sums are rounded as integers, and
//   IsZeroBits(a)             whose bits are set where all of a's are clear
#ifndef LBA_ARITHMETIC_EXACT_PRODUCTS_ODD_ARITHMETIC_H_
#define LBA_ARITHMETIC_EXACT_PRODUCTS_ODD_ARITHMETIC_H_

#include "arithmetic/exact_products/cpu_kernels.h"
#include "arithmetic/nearest/scaled_arithmetic.h"

namespace lba {
namespace {  // each instruction set has its own copy

// Products come in a scale kOddScaleLog2 above that of the sums, where nothing that may round up to min_value is
// flushed.
template <class Isa, bool kSaturatesPartialSum>
class OddArithmetic : public NearestArithmetic<Isa, ProductStep::kFused, kSaturatesPartialSum, SumStep::kAdded> {
  using Base = NearestArithmetic<Isa, ProductStep::kFused, kSaturatesPartialSum, SumStep::kAdded>;

 public:
  using V = typename Base::V;
  using Half = void;

  explicit OddArithmetic(const TileConstants& c)
      : Base(c),
        max_(Isa::Set(c.accumulator_max)),
        odd_max_(Isa::Set(c.accumulator_max * (1 << kOddScaleLog2))),
        one_(Isa::Set(1)),
        up_(Isa::Set(1 << kOddScaleLog2)),
        down_(Isa::Set(1.0f / (1 << kOddScaleLog2))),
        join_shift_(Isa::Bits(c.accumulator_shift << 23)),
        shift_(Isa::Bits((c.accumulator_shift - kOddScaleLog2) << 23)),
        last_bit_(Isa::Bits(c.accumulator_shift < 23 ? 1u << c.accumulator_shift : ~0u)),
        half_unit_(Isa::Bits(1u << (c.accumulator_shift - 1))),
        kept_(Isa::Bits(c.accumulator_kept_bits)) {}

  template <int kCount>
  void Step(V (&sums)[kCount], const float* x, const V (&w)[kCount]) const {
    const V row = Isa::Set(*x);
    ForEach<kCount>([&](int v) { sums[v] = Isa::Multiply(sums[v], up_); });
    ForEach<kCount>([&](int v) { sums[v] = Isa::OddMultiplyAdd(row, w[v], sums[v]); });
    // Before the rounding, which keeps max_value: the power of two that rounds is then a float32.
    if constexpr (kSaturatesPartialSum) {
      ForEach<kCount>([&](int v) { sums[v] = Isa::Saturate(sums[v], odd_max_); });
    }
    if constexpr (Isa::kOddMode == FpMode::kUpwardFlush) {
      RoundBits(sums);
      ForEach<kCount>([&](int v) { sums[v] = Isa::Multiply(sums[v], down_); });
    } else {
      Base::RoundRescaled(down_, shift_, sums);
    }
  }

  V Join(V total, V sum) const {
    V totals[1] = {Isa::Saturate(Isa::OddMultiplyAdd(sum, one_, total), max_)};
    if constexpr (Isa::kOddMode == FpMode::kUpwardFlush) {
      RoundBits(totals);
    } else {
      Base::RoundRescaled(one_, join_shift_, totals);
    }
    return totals[0];
  }

 private:
  // Adds half of the last bit that is kept, less where that bit is clear one of float32's, and cuts. Without a mantissa
  // it is the leading one, set in all but zero.
  template <int kCount>
  void RoundBits(V (&sums)[kCount]) const {
    V less[kCount];
    ForEach<kCount>([&](int v) { less[v] = Isa::IsZeroBits(Isa::And(sums[v], last_bit_)); });
    ForEach<kCount>([&](int v) { sums[v] = Isa::AddBits(Isa::AddBits(sums[v], half_unit_), less[v]); });
    ForEach<kCount>([&](int v) { sums[v] = Isa::And(sums[v], kept_); });
  }

  V max_, odd_max_, one_, up_, down_, join_shift_, shift_, last_bit_, half_unit_, kept_;
};

// Kernels of a table of another mode. Not inlined: compilers do not take a change of the mode for a barrier.
template <class Arithmetic>
[[gnu::noinline]] void RunOdd(const TileArgs& args) {
  RunTile<Arithmetic>(args);
}
template <class Arithmetic>
[[gnu::noinline]] void RunOdd(const DirectArgs& args) {
  RunDirect<Arithmetic>(args);
}
template <class Arithmetic, FpMode kMode, class Args>
void RunOddInMode(const Args& args) {
  const FpScope scope(kMode);
  RunOdd<Arithmetic>(args);
}

// `fused` are nearest's kernels for sums and products of one scale; the others' place is taken.
template <class Isa>
TileKernels MakeOddKernels(const TileKernels& fused) {
  using Light = OddArithmetic<Isa, false>;
  using Full = OddArithmetic<Isa, true>;
  constexpr FpMode kMode = Isa::kOddMode;
  TileKernels kernels{fused.path, fused.mode, {}, {}, {}};
  for (int variant = 0; variant < kMostVariants; ++variant) {
    const bool is_fused = variant < 2, is_full = variant % 2 != 0;
    kernels.tile[variant] = is_fused  ? fused.tile[variant]
                            : is_full ? RunOddInMode<Full, kMode, TileArgs>
                                      : RunOddInMode<Light, kMode, TileArgs>;
    kernels.direct[variant] = is_fused  ? fused.direct[variant]
                              : is_full ? RunOddInMode<Full, kMode, DirectArgs>
                                        : RunOddInMode<Light, kMode, DirectArgs>;
  }
  return kernels;
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_EXACT_PRODUCTS_ODD_ARITHMETIC_H_
