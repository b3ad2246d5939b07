#include "arithmetic/truncate/short_cuts.h"

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

TileConstants MakeConstants(const AccumulatorSpec& spec, int product_log2, int accumulator_log2) {
  TileConstants c;
  c.definition = ChunkedFloatConstants::Of(spec);
  c.product_max = static_cast<float>(std::ldexp(c.definition.product.max_value, product_log2));
  c.accumulator_max = static_cast<float>(std::ldexp(c.definition.accumulator.max_value, accumulator_log2));
  c.product_to_accumulator = static_cast<float>(std::ldexp(1.0, accumulator_log2 - product_log2));
  c.product_kept_bits = KeptBits(spec.product_format);
  c.accumulator_kept_bits = KeptBits(spec.accumulator_format);
  const int half = -accumulator_log2 / 2;  // one factor alone may not be a float32
  c.unscale[0] = static_cast<float>(std::ldexp(1.0, half));
  c.unscale[1] = static_cast<float>(std::ldexp(1.0, -accumulator_log2 - half));
  return c;
}

}  // namespace

ShortCuts::ShortCuts(const AccumulatorSpec& spec, int64_t depth)
    : chunk_(spec.ChunkLength(depth)),
      underflow_(spec.underflow),
      product_mantissa_bits_(spec.product_format.mantissa_bits),
      product_max_exponent_(spec.product_format.max_exponent()),
      accumulator_mantissa_bits_(spec.accumulator_format.mantissa_bits),
      accumulator_max_exponent_(spec.accumulator_format.max_exponent()),
      product_scale_log2_(ScaleLog2(spec.product_format, spec.underflow)),
      accumulator_scale_log2_(ScaleLog2(spec.accumulator_format, spec.underflow)),
      constants_(MakeConstants(spec, product_scale_log2_, accumulator_scale_log2_)) {}

}  // namespace lba
