// Which steps of the arithmetic a product's operands make unnecessary, and where scaled float32 arithmetic gives the
// bits of the definition. Every answer is a proof (docs/design.md, "Short cuts that are provable"). Usable on the host
// and on a GPU.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_SHORT_CUTS_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_SHORT_CUTS_H_

#include <algorithm>
#include <cstdint>

#include "arithmetic/chunked_float/definition.h"
#include "arithmetic/chunked_float/spec.h"
#include "common/value_range.h"

namespace lba {

// A specification as the kernels read it.
struct TileConstants {
  // For scaled float32: the formats after scaling by powers of two.
  float product_max = 0, accumulator_max = 0;
  float product_to_accumulator = 1;  // from the scale of the products to that of the accumulator
  uint32_t product_kept_bits = 0, accumulator_kept_bits = 0;
  float unscale[2] = {1, 1};  // both factors together take a total back
  // For rounding to nearest: the bits that float32 has more than the formats, and how sums are formed in the products'
  // scale (nearest/scaled_arithmetic.h).
  uint32_t product_shift = 0, accumulator_shift = 0;
  float accumulator_to_product = 1;
  bool rescales_sums = false;
  // In adder trees two products are added in the finer of both scales.
  float product_to_tree = 1, tree_to_accumulator = 1;
  ChunkedFloatConstants definition;  // for double: the formats as they are

  // What takes a value to the scale of the sums.
  double start_scale() const { return 1 / (static_cast<double>(unscale[0]) * static_cast<double>(unscale[1])); }
};

// What is done to a product before it joins the partial sum; the operands prove which steps are needed.
enum class ProductStep {
  kFused,     // exact and inside the format: multiplied and added in one instruction
  kExact,     // exact, but may underflow: no mantissa bits to drop
  kRound,     // may underflow, cannot overflow
  kSaturate,  // all steps
};

// How a product joins a sum that is rounded to nearest, or by a draw.
enum class SumStep {
  kScaled,   // taken from the scale of the products to that of the sums
  kAdded,    // both have one scale
  kRescaled  // the sum is taken to the scale of the products, where min_value is larger, and back as it is rounded
};
constexpr int kSumSteps = 3;

struct TileVariant {
  ProductStep product = ProductStep::kSaturate;
  bool saturates_partial_sum = true;  // whether a partial sum can reach max_value

  LBA_HOST_DEVICE int index() const { return static_cast<int>(product) * 2 + (saturates_partial_sum ? 1 : 0); }
};
constexpr int kTileVariants = 8;

// One operand of a product moves: it is scaled when the product is computed. The other is fixed, and its scale is
// chosen from its values; the moving operand's complements it, so that it is known before the moving values are. Scales
// are powers of two, given as their logarithms.
class ShortCuts {
 public:
  ShortCuts(const AccumulatorSpec& spec, int64_t depth);

  LBA_HOST_DEVICE const TileConstants& constants() const { return constants_; }
  LBA_HOST_DEVICE const SumOrder& order() const { return order_; }
  LBA_HOST_DEVICE bool has_underflow() const { return underflow_; }
  // Whether some operands can be computed in scaled float32.
  LBA_HOST_DEVICE bool is_scalable() const { return is_scalable_; }
  // Whether double arithmetic, which rounds sums to 53 bits first, gives the bits of the definition for finite
  // operands.
  LBA_HOST_DEVICE bool fits_double() const { return fits_double_; }
  LBA_HOST_DEVICE SumStep sum_step() const { return sum_step_; }

  LBA_HOST_DEVICE int FixedScaleLog2(const ValueRange& fixed) const {
    if (!is_scalable() || fixed.is_zero() || !fixed.is_finite()) return 0;
    // Both operands get half of the room that the product's scale leaves.
    const int wanted = product_scale_log2_ / 2 - (fixed.max_exponent() + 1);
    return wanted < kMinNormal ? kMinNormal : std::min(wanted, kMaxNormal - 1);
  }
  // 0 where scaled float32 is out of the question.
  LBA_HOST_DEVICE int MovingScaleLog2(int fixed_log2) const {
    const int moving_log2 = product_scale_log2_ - fixed_log2;
    return is_scalable() && IsNormalExponent(moving_log2) ? moving_log2 : 0;
  }
  // What takes the moving operand from the scale of the products to that in which sums are formed.
  LBA_HOST_DEVICE int FusedScaleLog2() const {
    return sum_step_ == SumStep::kRescaled ? 0 : accumulator_scale_log2_ - product_scale_log2_;
  }
  LBA_HOST_DEVICE float fused_scale() const {
    return sum_step_ == SumStep::kRescaled ? 1.0f : constants_.product_to_accumulator;
  }

  // Whether scaled float32 gives the bits of the definition.
  LBA_HOST_DEVICE bool FitsScaled(const ValueRange& moving, const ValueRange& fixed, int fixed_log2) const {
    const int moving_log2 = product_scale_log2_ - fixed_log2;
    if (!is_scalable() || !IsNormalExponent(moving_log2) || !moving.is_finite() || !fixed.is_finite()) return false;
    return underflow_ ? FitsWithUnderflow(moving, fixed, moving_log2, fixed_log2)
                      : FitsWithoutUnderflow(moving, fixed, moving_log2, fixed_log2);
  }

  // Whether it does so, too, where totals start from such values, rounded: without underflow these have to be multiples
  // of a normal float32, as all other values are.
  LBA_HOST_DEVICE bool FitsStarts(const ValueRange& starts) const {
    if (underflow_ || starts.is_zero()) return true;
    return !starts.has_subnormal() && starts.min_exponent() - accumulator_mantissa_bits_ >= kMinNormal;
  }

  // Of operands that fit: whether products are exact and inside the format, so that multiplication and addition are one
  // instruction. The moving operand, already scaled, is then scaled again, by FusedScaleLog2.
  LBA_HOST_DEVICE bool CanFuse(const ValueRange& moving, const ValueRange& fixed, int fixed_log2) const {
    if (moving.is_zero() || fixed.is_zero() || moving.has_subnormal() || fixed.has_subnormal()) return false;
    const int moving_log2 = product_scale_log2_ - fixed_log2;
    const int fused_log2 = moving_log2 + FusedScaleLog2();
    return HasExactProducts(moving.significant_bits(), fixed.significant_bits()) &&
           !CanOverflowProduct(moving.max_abs() * fixed.max_abs()) &&
           moving.min_abs() * fixed.min_abs() >= constants_.definition.product.min_value &&
           moving.min_exponent() + std::min(moving_log2, fused_log2) >= kMinNormal &&
           moving.max_exponent() + 1 + fused_log2 <= kMaxNormal && fixed.min_exponent() + fixed_log2 >= kMinNormal;
  }

  // Partial sums start from values of this magnitude at most.
  LBA_HOST_DEVICE TileVariant Variant(const PanelBounds& moving, const PanelBounds& fixed, bool is_fused,
                                      double largest_start = 0) const {
    TileVariant variant;
    // Without underflow the scaled formats saturate by themselves.
    variant.saturates_partial_sum = underflow_ && CanOverflowPartialSum(moving, fixed, largest_start);
    if (is_fused) {
      variant.product = ProductStep::kFused;
    } else if (CanOverflowProduct(moving.max_abs * fixed.max_abs)) {
      variant.product = underflow_ ? ProductStep::kSaturate : ProductStep::kRound;
    } else {
      variant.product =
          HasExactProducts(moving.significant_bits, fixed.significant_bits) ? ProductStep::kExact : ProductStep::kRound;
    }
    return variant;
  }

  // Whether a product, or a partial sum inside a chunk, may reach max_value.
  LBA_HOST_DEVICE bool CanOverflow(const PanelBounds& moving, const PanelBounds& fixed) const {
    return CanOverflowProduct(moving.max_abs * fixed.max_abs) || CanOverflowPartialSum(moving, fixed, 0);
  }

 private:
  static constexpr int kMinNormal = -126;  // float32's smallest normal exponent
  static constexpr int kMaxNormal = 127;

  LBA_HOST_DEVICE static bool IsNormalExponent(int exponent) {
    return exponent >= kMinNormal && exponent <= kMaxNormal - 1;
  }

  // Both scaled operands stay below 1, or 1/2 where products may round up: then an operand that the hardware flushes
  // could only have made products that underflow, and no product leaves float32.
  LBA_HOST_DEVICE bool FitsWithUnderflow(const ValueRange& moving, const ValueRange& fixed, int moving_log2,
                                         int fixed_log2) const {
    return (moving.is_zero() || moving.max_exponent() + 1 + moving_log2 <= operand_log2_) &&
           (fixed.is_zero() || fixed.max_exponent() + 1 + fixed_log2 <= operand_log2_);
  }

  // All values are multiples of the last mantissa bit of the smallest product. While that bit is a normal float32,
  // nothing is ever flushed, in the emulation or in the hardware.
  LBA_HOST_DEVICE bool FitsWithoutUnderflow(const ValueRange& moving, const ValueRange& fixed, int moving_log2,
                                            int fixed_log2) const {
    if (moving.is_zero() || fixed.is_zero()) return true;
    if (moving.has_subnormal() || fixed.has_subnormal()) return false;
    const int smallest_product = std::min(moving.min_exponent() + fixed.min_exponent(), product_max_exponent_);
    const int last_bit =
        std::min(smallest_product - product_mantissa_bits_, accumulator_max_exponent_ - accumulator_mantissa_bits_);
    return last_bit >= kMinNormal && moving.max_exponent() + 1 + moving_log2 <= kMaxNormal &&
           fixed.max_exponent() + 1 + fixed_log2 <= kMaxNormal && moving.min_exponent() + moving_log2 >= kMinNormal &&
           fixed.min_exponent() + fixed_log2 >= kMinNormal;
  }

  LBA_HOST_DEVICE bool HasExactProducts(int moving_bits, int fixed_bits) const {
    return moving_bits + fixed_bits <= product_mantissa_bits_ + 1;
  }

  LBA_HOST_DEVICE bool CanOverflowProduct(double largest) const {
    return largest * product_growth_ >= constants_.definition.product.max_value;
  }

  // Truncation only shrinks, and rounding to nearest grows each value by a known factor at most; so these bound every
  // partial sum: the triangle inequality and Cauchy-Schwarz.
  LBA_HOST_DEVICE bool CanOverflowPartialSum(const PanelBounds& moving, const PanelBounds& fixed,
                                             double largest_start) const {
    const double largest = moving.max_abs * fixed.max_abs;
    const double sum =
        std::min(static_cast<double>(order_.chunk()) * largest * (1.0 + 1e-12), moving.chunk_norm * fixed.chunk_norm);
    return !((sum + largest_start) * sum_growth_ < constants_.definition.accumulator.max_value);
  }

  SumOrder order_;
  bool underflow_;
  int product_mantissa_bits_, product_max_exponent_, accumulator_mantissa_bits_, accumulator_max_exponent_;
  SumStep sum_step_;
  int product_scale_log2_, accumulator_scale_log2_;
  int operand_log2_;                    // scaled operands stay below 2 to this power
  double product_growth_, sum_growth_;  // how many times larger rounding makes a product, a partial sum, at most
  bool is_scalable_, fits_double_;
  TileConstants constants_;
};

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_SHORT_CUTS_H_
