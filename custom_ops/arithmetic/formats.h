// Floating-point formats (docs/numerics.md).
#ifndef LBA_ARITHMETIC_FORMATS_H_
#define LBA_ARITHMETIC_FORMATS_H_

#include <cstdint>
#include <string>

namespace lba {

// A format without subnormals, infinities or NaN: zero and
// +-2^(i - exponent_bias) * (1 + j / 2^mantissa_bits), 0 <= i < 2^exponent_bits.
struct FloatFormat {
  int mantissa_bits = 0;  // leading one excluded
  int exponent_bits = 1;
  int exponent_bias = 0;

  int max_exponent() const { return (1 << exponent_bits) - 1 - exponent_bias; }
  double max_value() const;
  double min_value() const;
  bool operator==(const FloatFormat& other) const;
};

// Reads "M7E4b10" (a negative bias is written "b-3"). Returns an empty string and fills `format`, or
// returns the reason why the text is no legal format.
std::string ParseFormat(const std::string& text, FloatFormat* format);
// What ParseFormat reads.
std::string TextOf(const FloatFormat& format);

// Returns an empty string if the emulation can represent the format, else the reason.
std::string CheckFormat(const FloatFormat& format);

}  // namespace lba

#endif  // LBA_ARITHMETIC_FORMATS_H_
