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
  Rounding rounding;

  static QuantizeConstants Of(const FloatFormat& format, bool underflow, Rounding rounding) {
    const double smallest = underflow ? format.min_value() : std::ldexp(1.0, -126);
    return {format.max_value(), smallest, ~uint64_t{0} << (52 - format.mantissa_bits), rounding};
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

// x with a mantissa of so many bits and any exponent, to nearest, ties to even. Beside a power of two that many bits
// larger than x, what is dropped is what double drops.
LBA_HOST_DEVICE inline double RoundedToNearest(double x, uint64_t kept_bits) {
  constexpr uint64_t kSignAndExponent = 0xfff0000000000000;
  const double power = FromBits(BitsOf(x) & kSignAndExponent) * static_cast<double>(~kept_bits + 1);
  return (x + power) - power;
}

// Q(x) for an x that is exact, or rounded to odd, to 53 bits: every rounding to fewer bits then gives what it gives of
// the exact value. NaN stays NaN.
LBA_HOST_DEVICE inline double Quantize(double x, const QuantizeConstants& format) {
  if (x != x) return x;
  if (std::fabs(x) >= format.max_value) return std::copysign(format.max_value, x);
  const double rounded = format.rounding == Rounding::kNearest ? RoundedToNearest(x, format.kept_bits)
                                                               : FromBits(BitsOf(x) & format.kept_bits);
  return std::fabs(rounded) < format.min_value ? 0.0 : rounded;
}

// a + b rounded to odd to 53 bits: truncated toward zero, its last bit set where that is not exact. a and b are finite
// or NaN and far from double's overflow.
LBA_HOST_DEVICE inline double AddToOdd(double a, double b) {
  const double sum = a + b;
  const double b_part = sum - a;
  const double error = (a - (sum - b_part)) + (b - b_part);  // a + b == sum + error, exactly (TwoSum)
  if (!(error < 0 || error > 0)) return sum;
  const bool rounded_away = (error < 0) != (sum < 0);
  return FromBits((BitsOf(sum) - (rounded_away ? 1 : 0)) | 1);
}

// Q_prod(x * w): the product of two float32 values is exact in double.
LBA_HOST_DEVICE inline double QuantizedProduct(float x, float w, const QuantizeConstants& product_format) {
  return Quantize(static_cast<double>(x) * static_cast<double>(w), product_format);
}

// Q_acc(addend + sum)
LBA_HOST_DEVICE inline double QuantizedSum(double addend, double sum, const QuantizeConstants& accumulator_format) {
  return Quantize(AddToOdd(addend, sum), accumulator_format);
}

// The formats of a specification, as the definition reads them.
struct ChunkedFloatConstants {
  QuantizeConstants product{}, accumulator{};

  static ChunkedFloatConstants Of(const AccumulatorSpec& spec) {
    return {QuantizeConstants::Of(spec.product_format, spec.underflow, spec.rounding),
            QuantizeConstants::Of(spec.accumulator_format, spec.underflow, spec.rounding)};
  }
};

// The definition, as common/defined_dot.h takes it. `Of` has a ChunkedFloatConstants as its member `definition`.
template <class Of>
class ChunkedFloatDefinition {
 public:
  using Constants = Of;
  using State = double;
  static constexpr bool kHasTrees = true, kHasStarts = true;

  LBA_HOST_DEVICE explicit ChunkedFloatDefinition(const Constants& c) : formats_(c.definition) {}

  LBA_HOST_DEVICE static State Start() { return 0; }
  LBA_HOST_DEVICE State StartFrom(float value) const { return Quantize(value, formats_.accumulator); }
  LBA_HOST_DEVICE State Step(State sum, float x, float w) const {
    return QuantizedSum(Product(x, w), sum, formats_.accumulator);
  }
  LBA_HOST_DEVICE State Product(float x, float w) const { return QuantizedProduct(x, w, formats_.product); }
  LBA_HOST_DEVICE State Join(State total, State sum) const { return QuantizedSum(sum, total, formats_.accumulator); }
  LBA_HOST_DEVICE static float Finish(State total) { return static_cast<float>(total + 0.0); }  // zeros are positive

  LBA_HOST_DEVICE bool ProductIsAtMax(float x, float w) const {
    return std::fabs(Product(x, w)) == formats_.product.max_value;
  }
  LBA_HOST_DEVICE bool IsAtMax(State sum) const { return std::fabs(sum) == formats_.accumulator.max_value; }

 private:
  const ChunkedFloatConstants formats_;
};

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_DEFINITION_H_
