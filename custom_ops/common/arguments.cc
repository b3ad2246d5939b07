#include "common/arguments.h"

namespace lba {
namespace {

FloatFormat FormatOf(const LbaFormat& format) {
  return {format.mantissa_bits, format.exponent_bits, format.exponent_bias};
}

LbaFormat Described(const FloatFormat& format) {
  return {format.mantissa_bits, format.exponent_bits, format.exponent_bias};
}

}  // namespace

AccumulatorSpec SpecOf(const LbaSpec* spec) {
  Require(spec != nullptr, "expected a specification, got null");
  const AccumulatorSpec result{FormatOf(spec->product_format), FormatOf(spec->accumulator_format), spec->chunk_size,
                               spec->underflow != 0};
  const std::string reason = CheckSpec(result);
  Require(reason.empty(), reason);
  return result;
}

LbaSpec Described(const AccumulatorSpec& spec) {
  return {Described(spec.product_format), Described(spec.accumulator_format), spec.chunk_size, spec.underflow};
}

}  // namespace lba
