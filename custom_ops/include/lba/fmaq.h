// The arithmetic of docs/numerics.md for single values, exact for every legal format and every operand. Usable on the
// host and on a GPU. Needs double arithmetic in the default environment: round to nearest, subnormals kept.
#ifndef LBA_FMAQ_H_
#define LBA_FMAQ_H_

#include <cmath>
#include <cstdint>
#include <cstring>

#include "lba/format.h"

#ifdef __CUDACC__
#define LBA_HOST_DEVICE __host__ __device__
#else
#define LBA_HOST_DEVICE
#endif

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

}  // namespace lba

#endif  // LBA_FMAQ_H_
