// The arithmetic of docs/numerics.md for single values, exact for every legal format and every operand. Usable on the
// host and on a GPU. Needs double arithmetic in the default environment: round to nearest, subnormals kept.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_DEFINITION_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_DEFINITION_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "arithmetic/chunked_float/spec.h"
#include "common/host_device.h"

namespace lba {

// A format as the numbers that quantization needs.
struct QuantizeConstants {
  double max_value;
  double min_value;    // smallest magnitude that is kept
  uint64_t kept_bits;  // mask of a double's bits: sign, exponent, leading mantissa bits

  static QuantizeConstants Of(const FloatFormat& format, bool underflow) {
    const double smallest = underflow ? format.min_value() : std::ldexp(1.0, -126);
    return {format.max_value(), smallest, ~uint64_t{0} << (52 - format.mantissa_bits)};
  }
};

LBA_HOST_DEVICE inline uint64_t BitsOf(double value) {
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

LBA_HOST_DEVICE inline double FromBits(uint64_t bits) {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Q(x) for an x already truncated, toward zero, to 53 bits: truncation composes. NaN stays NaN.
LBA_HOST_DEVICE inline double Quantize(double x, const QuantizeConstants& format) {
  if (x != x) return x;
  const double magnitude = std::fabs(x);
  if (magnitude >= format.max_value) return std::copysign(format.max_value, x);
  if (magnitude < format.min_value) return 0.0;
  return FromBits(BitsOf(x) & format.kept_bits);
}

// a + b truncated toward zero to 53 bits. a and b are finite or NaN and far from double's overflow.
LBA_HOST_DEVICE inline double AddTruncated(double a, double b) {
  const double sum = a + b;
  const double b_part = sum - a;
  const double error = (a - (sum - b_part)) + (b - b_part);  // a + b == sum + error, exactly (TwoSum)
  const bool rounded_away = (error < 0 && sum > 0) || (error > 0 && sum < 0);
  return rounded_away ? FromBits(BitsOf(sum) - 1) : sum;
}

// Q_prod(x * w): the product of two float32 values is exact in double.
LBA_HOST_DEVICE inline double QuantizedProduct(float x, float w, const QuantizeConstants& product_format) {
  return Quantize(static_cast<double>(x) * static_cast<double>(w), product_format);
}

// Q_acc(addend + sum)
LBA_HOST_DEVICE inline double QuantizedSum(double addend, double sum, const QuantizeConstants& accumulator_format) {
  return Quantize(AddTruncated(addend, sum), accumulator_format);
}

// The formats of a specification, as the definition reads them.
struct ChunkedFloatConstants {
  QuantizeConstants product{}, accumulator{};

  static ChunkedFloatConstants Of(const AccumulatorSpec& spec) {
    return {QuantizeConstants::Of(spec.product_format, spec.underflow),
            QuantizeConstants::Of(spec.accumulator_format, spec.underflow)};
  }
};

// The definition, as kernels/cpu/definition_kernels.h takes it. `Of` has a ChunkedFloatConstants as its member
// `definition`.
template <Rounding kRounding, class Of>
class ChunkedFloatDefinition {
  static_assert(kRounding == Rounding::kTruncate, "the other rounding is not written yet");

 public:
  using Constants = Of;
  using State = double;

  explicit ChunkedFloatDefinition(const Constants& c) : formats_(c.definition) {}

  static State Start() { return 0; }
  State Step(State sum, float x, float w) const {
    return QuantizedSum(QuantizedProduct(x, w, formats_.product), sum, formats_.accumulator);
  }
  State Join(State total, State sum) const { return QuantizedSum(sum, total, formats_.accumulator); }
  static float Finish(State total) { return static_cast<float>(total + 0.0); }  // zeros are positive

  bool ProductIsAtMax(float x, float w) const {
    return std::fabs(QuantizedProduct(x, w, formats_.product)) == formats_.product.max_value;
  }
  bool IsAtMax(State sum) const { return std::fabs(sum) == formats_.accumulator.max_value; }

 private:
  const ChunkedFloatConstants formats_;
};

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_DEFINITION_H_
