#include "arithmetic/exact_products/cpu_planner.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "arithmetic/chunked_float/ruled_definition.h"
#include "arithmetic/chunked_float/short_cuts.h"
#include "arithmetic/exact_products/cpu_kernels.h"
#include "arithmetic/nearest/cpu_kernels.h"
#include "arithmetic/truncate/cpu_kernels.h"
#include "kernels/cpu/definition_planner.h"

namespace lba {
namespace {

constexpr int kMinNormal = -126, kMaxNormal = 127, kMantissaBits = 23;  // of float32

// The same with products rounded to the format of the sums, and underflow: what is known of its sums holds here.
AccumulatorSpec WithRoundedProducts(AccumulatorSpec spec) {
  spec.product_format = spec.accumulator_format;
  spec.exact_products = false;
  spec.underflow = true;
  return spec;
}

// Puts the smallest value that is kept, min_value or else 2^-126, on float32's smallest normal value.
int SumScaleLog2(const AccumulatorSpec& spec) {
  return spec.underflow ? spec.accumulator_format.exponent_bias + kMinNormal : 0;
}

TileConstants ConstantsOf(const AccumulatorSpec& spec, const ShortCuts& cuts) {
  TileConstants c = cuts.constants();
  c.definition.product = {HUGE_VAL, 0, ~uint64_t{0}, spec.rounding};  // keeps every product
  c.definition.accumulator = QuantizeConstants::Of(spec.accumulator_format, spec.underflow, spec.rounding);
  if (spec.underflow) return c;
  c.accumulator_max = static_cast<float>(spec.accumulator_format.max_value());
  c.unscale[0] = c.unscale[1] = 1;
  return c;
}

class ExactProductsPlanner : public DefinitionPlanner<RuledDefinition> {
 public:
  ExactProductsPlanner(const AccumulatorSpec& spec, int64_t depth)
      : DefinitionPlanner(RuledConstants::Of(spec), spec.Order(depth)),
        is_nearest_(spec.rounding == Rounding::kNearest),
        mantissa_bits_(spec.accumulator_format.mantissa_bits),
        sum_scale_log2_(SumScaleLog2(spec)),
        has_room_(spec.accumulator_format.max_exponent() + sum_scale_log2_ + kMantissaBits - mantissa_bits_ <
                  kMaxNormal),
        short_cuts_(WithRoundedProducts(spec), depth),
        constants_(ConstantsOf(spec, short_cuts_)) {}

  // Both operands get half of the room that the scale of the products leaves.
  int FixedScaleLog2(const ValueRange& fixed) const override {
    if (!IsVectorPath() || fixed.is_zero() || !fixed.is_finite()) return 0;
    return std::clamp(product_scale_log2() / 2 - (fixed.max_exponent() + 1), kMinNormal, kMaxNormal - 1);
  }
  float MovingScale(int fixed_scale_log2) const override {
    return IsVectorPath() ? std::ldexp(1.0f, MovingScaleLog2(fixed_scale_log2)) : 1.0f;
  }
  float fused_scale() const override { return is_nearest_ ? std::ldexp(1.0f, -kOddScaleLog2) : 1.0f; }

  PanelPlan Plan(const ValueRange& moving, const ValueRange& fixed, int fixed_scale_log2) const override {
    if (path() == CpuPath::kExact || !moving.is_finite() || !fixed.is_finite()) return {CpuPath::kExact, false};
    if (IsVectorPath() && KeepsOperands(moving, fixed, fixed_scale_log2)) {
      if (!is_nearest_ || CanFuse(moving, fixed)) return {path(), true};
      if (path() == CpuPath::kAvx512 && mantissa_bits_ <= kMostOddBits && has_room_) return {path(), false};
    }
    const bool is_portable = !is_nearest_ || HasShortProducts(moving, fixed);
    return {is_portable ? CpuPath::kPortable : CpuPath::kExact, false};
  }
  int Variant(const PanelBounds& moving, const PanelBounds& fixed, bool is_fused) const override {
    TileVariant variant = short_cuts_.Variant(moving, fixed, true);
    if (!is_fused) variant.product = ProductStep::kRound;
    return variant.index();
  }
  CpuPath GatePath(const PanelPlan&) const override { return CpuPath::kExact; }

  const TileKernels& KernelsOf(CpuPath path) const override {
#if defined(__x86_64__)
    if (path == CpuPath::kAvx512) {
      return is_nearest_ ? ExactNearestAvx512Kernels(short_cuts_) : TruncatingAvx512Kernels(short_cuts_);
    }
    if (path == CpuPath::kAvx2)
      return is_nearest_ ? NearestAvx2Kernels(short_cuts_) : TruncatingAvx2Kernels(short_cuts_);
#endif
    if (path == CpuPath::kExact) return DefinitionPlanner::KernelsOf(path);
    return is_nearest_ ? NearestPortableKernels(short_cuts_) : TruncatingPortableKernels(short_cuts_);
  }
  const void* constants(CpuPath path) const override {
    return path == CpuPath::kExact ? DefinitionPlanner::constants(path) : &constants_;
  }

 private:
  static constexpr int kMostFusedBits = 10;      // of mantissas, so that rounding twice is rounding once
  static constexpr int kMostOddBits = 21;        // odd keeps two bits more, behind the leading one
  static constexpr int kMostFusedExponent = 96;  // with it, no power of two that rounds a sum leaves float32

  bool IsVectorPath() const { return path() == CpuPath::kAvx512 || path() == CpuPath::kAvx2; }
  int product_scale_log2() const { return sum_scale_log2_ + (is_nearest_ ? kOddScaleLog2 : 0); }
  int MovingScaleLog2(int fixed_log2) const {
    return std::clamp(product_scale_log2() - fixed_log2, kMinNormal, kMaxNormal - 1);
  }

  // Whether the hardware takes no scaled operand for zero or infinity: the smallest product decides roundings.
  bool KeepsOperands(const ValueRange& moving, const ValueRange& fixed, int fixed_log2) const {
    const int moving_log2 = MovingScaleLog2(fixed_log2);
    if (moving_log2 + fixed_log2 != product_scale_log2()) return false;
    return IsNormal(moving, moving_log2, is_nearest_ ? kOddScaleLog2 : 0) && IsNormal(fixed, fixed_log2, 0);
  }
  static bool IsNormal(const ValueRange& range, int scale_log2, int room_below) {
    if (range.is_zero()) return true;
    return !range.has_subnormal() && range.min_exponent() + scale_log2 - room_below >= kMinNormal &&
           range.max_exponent() + scale_log2 <= kMaxNormal;
  }

  bool HasShortProducts(const ValueRange& moving, const ValueRange& fixed) const {
    return moving.significant_bits() + fixed.significant_bits() <= mantissa_bits_ + 1;
  }

  // Products with no more bits than sums, all of them multiples of the last mantissa bit of the smallest value that is
  // kept: no sum below that value rounds up to it.
  bool CanFuse(const ValueRange& moving, const ValueRange& fixed) const {
    if (moving.is_zero() || fixed.is_zero()) return true;
    const int last_bit =
        moving.min_exponent() - (moving.significant_bits() - 1) + fixed.min_exponent() - (fixed.significant_bits() - 1);
    return mantissa_bits_ <= kMostFusedBits && has_room_ && HasShortProducts(moving, fixed) &&
           last_bit >= kMinNormal - sum_scale_log2_ - mantissa_bits_ &&
           moving.max_exponent() + fixed.max_exponent() + sum_scale_log2_ <= kMostFusedExponent;
  }

  const bool is_nearest_;
  const int mantissa_bits_;
  const int sum_scale_log2_;
  const bool has_room_;  // whether the powers of two that round sums are float32
  const ShortCuts short_cuts_;
  const TileConstants constants_;
};

}  // namespace

std::shared_ptr<const Planner> PlanExactProductsOnCpu(const AccumulatorSpec& spec, int64_t depth) {
  const bool has_codes = spec.accumulator_format.has_infinity || spec.accumulator_format.has_subnormals;
  const bool is_ruled = spec.rounding != Rounding::kTruncate && spec.rounding != Rounding::kNearest;
  if (!spec.exact_products || has_codes || is_ruled || spec.tree != 0) return nullptr;
  return std::make_shared<const ExactProductsPlanner>(spec, depth);
}

}  // namespace lba
