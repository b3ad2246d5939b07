#include "cpu/tile_planner.h"

#include <algorithm>
#include <cmath>

namespace lba {
namespace {

constexpr int kMinNormal = -126;  // float32's smallest normal exponent
constexpr int kMaxNormal = 127;

// With underflow, the scale that puts min_value on float32's smallest normal value, so that the hardware's flush is the
// format's underflow; without, the one that puts max_value on float32's largest value of so many mantissa bits, so that
// truncated overflow saturates.
int ScaleLog2(const FloatFormat& format, bool underflow) {
  return underflow ? format.exponent_bias + kMinNormal : kMaxNormal - format.max_exponent();
}

uint32_t KeptBits(const FloatFormat& format) { return 0xffffffffu << (23 - format.mantissa_bits); }

bool IsNormalExponent(int exponent) { return exponent >= kMinNormal && exponent <= kMaxNormal - 1; }

TileConstants MakeConstants(const AccumulatorSpec& spec, int product_log2, int accumulator_log2) {
  TileConstants c;
  c.product = QuantizeConstants::Of(spec.product_format, spec.underflow);
  c.accumulator = QuantizeConstants::Of(spec.accumulator_format, spec.underflow);
  c.product_max = static_cast<float>(std::ldexp(c.product.max_value, product_log2));
  c.accumulator_max = static_cast<float>(std::ldexp(c.accumulator.max_value, accumulator_log2));
  c.product_to_accumulator = static_cast<float>(std::ldexp(1.0, accumulator_log2 - product_log2));
  c.product_kept_bits = KeptBits(spec.product_format);
  c.accumulator_kept_bits = KeptBits(spec.accumulator_format);
  const int half = -accumulator_log2 / 2;  // one factor alone may not be a float32
  c.unscale[0] = static_cast<float>(std::ldexp(1.0, half));
  c.unscale[1] = static_cast<float>(std::ldexp(1.0, -accumulator_log2 - half));
  return c;
}

}  // namespace

TilePlanner::TilePlanner(const AccumulatorSpec& spec, int64_t depth)
    : spec_(spec),
      chunk_(spec.ChunkLength(depth)),
      path_(SelectedCpuPath()),
      product_scale_log2_(ScaleLog2(spec.product_format, spec.underflow)),
      accumulator_scale_log2_(ScaleLog2(spec.accumulator_format, spec.underflow)),
      constants_(MakeConstants(spec, product_scale_log2_, accumulator_scale_log2_)) {
  const bool is_vector_path = path_ == CpuPath::kAvx512 || path_ == CpuPath::kAvx2;
  is_scaled_ = is_vector_path && IsNormalExponent(accumulator_scale_log2_ - product_scale_log2_);
}

int TilePlanner::FixedScaleLog2(const ValueRange& fixed) const {
  if (!is_scaled_ || fixed.is_zero() || !fixed.is_finite()) return 0;
  // Both operands get half of the room that the product's scale leaves.
  const int wanted = product_scale_log2_ / 2 - (fixed.max_exponent() + 1);
  return std::clamp(wanted, kMinNormal, kMaxNormal - 1);
}

float TilePlanner::MovingScale(int fixed_scale_log2) const {
  const int moving_log2 = MovingScaleLog2(fixed_scale_log2);
  return is_scaled_ && IsNormalExponent(moving_log2) ? std::ldexp(1.0f, moving_log2) : 1.0f;
}

PanelPlan TilePlanner::Plan(const ValueRange& moving, const ValueRange& fixed, int fixed_scale_log2) const {
  if (path_ == CpuPath::kExact || !moving.is_finite() || !fixed.is_finite()) return {CpuPath::kExact, false};
  const int moving_log2 = MovingScaleLog2(fixed_scale_log2);
  const bool fits = is_scaled_ && IsNormalExponent(moving_log2) &&
                    (spec_.underflow ? FitsScaledWithUnderflow(moving, fixed, moving_log2, fixed_scale_log2)
                                     : FitsScaledWithoutUnderflow(moving, fixed, moving_log2, fixed_scale_log2));
  if (!fits) return {CpuPath::kPortable, false};
  return {path_, CanFuse(moving, fixed, moving_log2, fixed_scale_log2)};
}

// Both scaled operands stay below 1: then an operand that the hardware flushes could only have made products that
// underflow, and no product leaves float32.
bool TilePlanner::FitsScaledWithUnderflow(const ValueRange& moving, const ValueRange& fixed, int moving_log2,
                                          int fixed_log2) const {
  return (moving.is_zero() || moving.max_exponent() + 1 + moving_log2 <= 0) &&
         (fixed.is_zero() || fixed.max_exponent() + 1 + fixed_log2 <= 0);
}

// All values are multiples of the last mantissa bit of the smallest product. While that bit is a normal float32,
// nothing is ever flushed, in the emulation or in the hardware.
bool TilePlanner::FitsScaledWithoutUnderflow(const ValueRange& moving, const ValueRange& fixed, int moving_log2,
                                             int fixed_log2) const {
  if (moving.is_zero() || fixed.is_zero()) return true;
  if (moving.has_subnormal() || fixed.has_subnormal()) return false;
  const FloatFormat& product = spec_.product_format;
  const FloatFormat& accumulator = spec_.accumulator_format;
  const int smallest_product = std::min(moving.min_exponent() + fixed.min_exponent(), product.max_exponent());
  const int last_bit =
      std::min(smallest_product - product.mantissa_bits, accumulator.max_exponent() - accumulator.mantissa_bits);
  return last_bit >= kMinNormal && moving.max_exponent() + 1 + moving_log2 <= kMaxNormal &&
         fixed.max_exponent() + 1 + fixed_log2 <= kMaxNormal && moving.min_exponent() + moving_log2 >= kMinNormal &&
         fixed.min_exponent() + fixed_log2 >= kMinNormal;
}

bool TilePlanner::HasExactProducts(int moving_bits, int fixed_bits) const {
  return moving_bits + fixed_bits <= spec_.product_format.mantissa_bits + 1;
}

bool TilePlanner::CanOverflowProduct(double largest) const { return largest >= constants_.product.max_value; }

// Truncation only shrinks, so these bound every partial sum: the triangle inequality and Cauchy-Schwarz.
bool TilePlanner::CanOverflowPartialSum(const PanelBounds& moving, const PanelBounds& fixed) const {
  const double largest = moving.max_abs * fixed.max_abs;
  const double sum =
      std::min(static_cast<double>(chunk_) * largest * (1.0 + 1e-12), moving.chunk_norm * fixed.chunk_norm);
  return !(sum < constants_.accumulator.max_value);
}

bool TilePlanner::CanOverflow(const PanelBounds& moving, const PanelBounds& fixed) const {
  return CanOverflowProduct(moving.max_abs * fixed.max_abs) || CanOverflowPartialSum(moving, fixed);
}

bool TilePlanner::CanFuse(const ValueRange& moving, const ValueRange& fixed, int moving_log2, int fixed_log2) const {
  if (moving.is_zero() || fixed.is_zero() || moving.has_subnormal() || fixed.has_subnormal()) return false;
  const int fused_log2 = moving_log2 + accumulator_scale_log2_ - product_scale_log2_;
  return HasExactProducts(moving.significant_bits(), fixed.significant_bits()) &&
         !CanOverflowProduct(moving.max_abs() * fixed.max_abs()) &&
         moving.min_abs() * fixed.min_abs() >= constants_.product.min_value &&
         moving.min_exponent() + std::min(moving_log2, fused_log2) >= kMinNormal &&
         moving.max_exponent() + 1 + fused_log2 <= kMaxNormal && fixed.min_exponent() + fixed_log2 >= kMinNormal;
}

TileVariant TilePlanner::Variant(const PanelBounds& moving, const PanelBounds& fixed, bool is_fused) const {
  const double largest = moving.max_abs * fixed.max_abs;
  TileVariant variant;
  // Without underflow the scaled formats saturate by themselves.
  variant.saturates_partial_sum = spec_.underflow && CanOverflowPartialSum(moving, fixed);
  if (is_fused) {
    variant.product = ProductStep::kFused;
  } else if (CanOverflowProduct(largest)) {
    variant.product = spec_.underflow ? ProductStep::kSaturate : ProductStep::kTruncate;
  } else {
    variant.product = HasExactProducts(moving.significant_bits, fixed.significant_bits) ? ProductStep::kExact
                                                                                        : ProductStep::kTruncate;
  }
  return variant;
}

}  // namespace lba
