#include "arithmetic/chunked_float/short_cuts.h"

#include <algorithm>
#include <cmath>

namespace lba {
namespace {

// With underflow, the scale that puts min_value on float32's smallest normal value, so that the hardware's flush is the
// format's underflow; without, the one that puts max_value on float32's largest value of so many mantissa bits, so that
// truncated overflow saturates.
int ScaleLog2(const FloatFormat& format, bool underflow) {
  return underflow ? format.exponent_bias - 126 : 127 - format.max_exponent();
}

uint32_t KeptBits(const FloatFormat& format) { return 0xffffffffu << (23 - format.mantissa_bits); }

int UnusedBits(const FloatFormat& format) { return 23 - format.mantissa_bits; }

bool IsNearest(const AccumulatorSpec& spec) { return spec.rounding == Rounding::kNearest; }
bool IsStochastic(const AccumulatorSpec& spec) { return spec.rounding == Rounding::kStochastic; }

// Draws are added to products as float32 has them: those that may round up to min_value must not be flushed before, so
// they come in a scale so many powers of two above.
int RoomBelowProducts(const AccumulatorSpec& spec) { return IsStochastic(spec) ? 1 : 0; }

// How many powers of two the smallest product lies below the smallest sum.
int SumsAboveProducts(const AccumulatorSpec& spec) {
  return spec.product_format.exponent_bias - spec.accumulator_format.exponent_bias;
}

// A sum below min_value is a multiple of its addends' last bits. With products of at least min_value / 2 these are no
// finer than the mantissa just below min_value, so that such a sum cannot round up to it, and the hardware may flush
// it. With draws that is asked of the products' last bits alone.
SumStep SumStepOf(const AccumulatorSpec& spec) {
  const int above = SumsAboveProducts(spec);
  if (IsStochastic(spec)) {
    const int finer = spec.product_format.mantissa_bits - spec.accumulator_format.mantissa_bits;
    return above + finer <= 1 ? SumStep::kScaled : SumStep::kRescaled;
  }
  if (!IsNearest(spec)) return SumStep::kScaled;
  return above >= 2 ? SumStep::kRescaled : above == 0 ? SumStep::kAdded : SumStep::kScaled;
}

// Rounding once makes a value at most so many times larger.
double RoundingGrowth(const AccumulatorSpec& spec, const FloatFormat& format) {
  if (IsStochastic(spec)) return 1 + std::ldexp(1.0, -format.mantissa_bits);
  return IsNearest(spec) ? 1 + std::ldexp(1.0, -format.mantissa_bits - 1) : 1;
}

double SumGrowth(const AccumulatorSpec& spec, int64_t chunk) {
  if (!IsNearest(spec) && !IsStochastic(spec)) return 1;
  return std::pow(RoundingGrowth(spec, spec.accumulator_format), static_cast<double>(chunk)) *
         RoundingGrowth(spec, spec.product_format) * (1 + 1e-9);
}

// Sums that are rounded twice, first to `bits` bits, are rounded as if once where both addends have at most as many
// bits as the accumulator, and these are few (docs/design.md, "Rounding to nearest").
bool RoundsAsOnce(const AccumulatorSpec& spec, int bits) {
  const int kept = spec.accumulator_format.mantissa_bits + 1;
  return spec.product_format.mantissa_bits < kept && 2 * kept + 2 <= bits;
}

// A draw lies below the last bit that is kept, among the 24 that truncation leaves. Rescaled sums have to fit the scale
// of the products, and to lie in it where nothing that may round up to min_value is flushed.
bool FitsDraws(const AccumulatorSpec& spec, int accumulator_log2) {
  const int bits = std::max(spec.product_format.mantissa_bits, spec.accumulator_format.mantissa_bits);
  const int above = SumsAboveProducts(spec);
  const bool fits_rescaled = above >= 1 && spec.accumulator_format.max_exponent() + accumulator_log2 + above < 127;
  return spec.tree == 0 && spec.underflow && bits + spec.random_bits <= 23 &&
         (SumStepOf(spec) == SumStep::kScaled || fits_rescaled);
}

// In trees two products may be added in their own scale: without underflow their sum would saturate there.
bool FitsFloat32(const AccumulatorSpec& spec, int product_log2, int accumulator_log2) {
  if (IsStochastic(spec)) return FitsDraws(spec, accumulator_log2);
  if (!IsNearest(spec)) return spec.tree == 0 || spec.underflow;
  constexpr int kMaxExponent = 96;  // with it, no sum leaves float32, nor the power of two that is added to it
  const bool is_rescaled = spec.tree != 0 || SumStepOf(spec) == SumStep::kRescaled;
  return spec.underflow && RoundsAsOnce(spec, 24) && accumulator_log2 - product_log2 <= kMaxExponent &&
         (!is_rescaled || product_log2 - accumulator_log2 < UnusedBits(spec.accumulator_format));
}

TileConstants MakeConstants(const AccumulatorSpec& spec, int product_log2, int accumulator_log2) {
  TileConstants c;
  c.definition = ChunkedFloatConstants::Of(spec);
  c.product_max = static_cast<float>(std::ldexp(c.definition.product.max_value, product_log2));
  c.accumulator_max = static_cast<float>(std::ldexp(c.definition.accumulator.max_value, accumulator_log2));
  c.product_to_accumulator = static_cast<float>(std::ldexp(1.0, accumulator_log2 - product_log2));
  c.product_kept_bits = KeptBits(spec.product_format);
  c.accumulator_kept_bits = KeptBits(spec.accumulator_format);
  c.product_shift = UnusedBits(spec.product_format);
  c.accumulator_shift = UnusedBits(spec.accumulator_format);
  c.accumulator_to_product = static_cast<float>(std::ldexp(1.0, product_log2 - accumulator_log2));
  c.rescales_sums = SumStepOf(spec) == SumStep::kRescaled;
  (accumulator_log2 > product_log2 ? c.product_to_tree : c.tree_to_accumulator) = c.product_to_accumulator;
  const int half = -accumulator_log2 / 2;  // one factor alone may not be a float32
  c.unscale[0] = static_cast<float>(std::ldexp(1.0, half));
  c.unscale[1] = static_cast<float>(std::ldexp(1.0, -accumulator_log2 - half));
  return c;
}

}  // namespace

ShortCuts::ShortCuts(const AccumulatorSpec& spec, int64_t depth)
    : order_(spec.Order(depth)),
      underflow_(spec.underflow),
      product_mantissa_bits_(spec.product_format.mantissa_bits),
      product_max_exponent_(spec.product_format.max_exponent()),
      accumulator_mantissa_bits_(spec.accumulator_format.mantissa_bits),
      accumulator_max_exponent_(spec.accumulator_format.max_exponent()),
      sum_step_(SumStepOf(spec)),
      product_scale_log2_(ScaleLog2(spec.product_format, spec.underflow) + RoomBelowProducts(spec)),
      accumulator_scale_log2_(ScaleLog2(spec.accumulator_format, spec.underflow)),
      operand_log2_(IsNearest(spec) ? -1 : 0),
      product_growth_(RoundingGrowth(spec, spec.product_format)),
      sum_growth_(SumGrowth(spec, order_.chunk())),
      is_scalable_(IsNormalExponent(accumulator_scale_log2_ - product_scale_log2_) &&
                   FitsFloat32(spec, product_scale_log2_, accumulator_scale_log2_)),
      fits_double_(!IsNearest(spec) || RoundsAsOnce(spec, 53)),
      constants_(MakeConstants(spec, product_scale_log2_, accumulator_scale_log2_)) {}

}  // namespace lba
