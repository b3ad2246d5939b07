// Rounding to nearest even of x * w + s with a product of any bits, by way of rounding to odd (docs/design.md, "Exact
// products"). Under FpMode::kNearestFlush. An Isa brings what nearest/scaled_arithmetic.h names, and
//   OddMultiplyAdd(a, b, c)   a * b + c to 24 bits: truncated, the last bit set where that is not exact
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
        shift_(Isa::Bits((c.accumulator_shift - kOddScaleLog2) << 23)) {}

  template <int kCount>
  void Step(V (&sums)[kCount], const float* x, const V (&w)[kCount]) const {
    const V row = Isa::Set(*x);
    ForEach<kCount>([&](int v) { sums[v] = Isa::Multiply(sums[v], up_); });
    ForEach<kCount>([&](int v) { sums[v] = Isa::OddMultiplyAdd(row, w[v], sums[v]); });
    // Before the rounding, which keeps max_value: the power of two that rounds is then a float32.
    if constexpr (kSaturatesPartialSum) {
      ForEach<kCount>([&](int v) { sums[v] = Isa::Saturate(sums[v], odd_max_); });
    }
    Base::RoundRescaled(down_, shift_, sums);
  }

  V Join(V total, V sum) const {
    V totals[1] = {Isa::Saturate(Isa::OddMultiplyAdd(sum, one_, total), max_)};
    Base::RoundRescaled(one_, join_shift_, totals);
    return totals[0];
  }

 private:
  V max_, odd_max_, one_, up_, down_, join_shift_, shift_;
};

// `fused` are nearest's kernels for sums and products of one scale; the others' place is taken.
template <class Isa>
TileKernels MakeOddKernels(const TileKernels& fused) {
  using Light = OddArithmetic<Isa, false>;
  using Full = OddArithmetic<Isa, true>;
  TileKernels kernels{fused.path, fused.mode, {}, {}, {}};
  for (int variant = 0; variant < kMostVariants; ++variant) {
    const bool is_fused = variant < 2, is_full = variant % 2 != 0;
    kernels.tile[variant] = is_fused ? fused.tile[variant] : is_full ? RunTile<Full> : RunTile<Light>;
    kernels.direct[variant] = is_fused ? fused.direct[variant] : is_full ? RunDirect<Full> : RunDirect<Light>;
  }
  return kernels;
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_EXACT_PRODUCTS_ODD_ARITHMETIC_H_
