// Floating-point formats (docs/numerics.md).
#ifndef LBA_ARITHMETIC_FORMATS_H_
#define LBA_ARITHMETIC_FORMATS_H_

#include <cstdint>
#include <string>

namespace lba {

// Zero and +-2^(i - exponent_bias) * (1 + j / 2^mantissa_bits), 0 <= i < 2^exponent_bits, but for the codes that IEEE
// 754 gives another meaning.
struct FloatFormat {
  int mantissa_bits = 0;  // leading one excluded
  int exponent_bits = 1;
  int exponent_bias = 0;
  bool has_infinity = false;    // the largest i stands for infinity and NaN
  bool has_subnormals = false;  // i = 0 stands for +-2^(1 - exponent_bias) * j / 2^mantissa_bits
  // The code of the largest magnitude stands for NaN and infinity, that of the smallest for zero.
  bool has_dlfloat_codes = false;

  int max_exponent() const { return (1 << exponent_bits) - 1 - exponent_bias - (has_infinity ? 1 : 0); }
  int min_exponent() const { return (has_subnormals ? 1 : 0) - exponent_bias; }
  double max_value() const;
  double min_value() const;       // the smallest with a leading one
  double overflow_value() const;  // what larger magnitudes become: the largest, infinity or NaN
  bool operator==(const FloatFormat& other) const;
};

// Reads "M7E4b10" (a negative bias is written "b-3") into `format`, whose codes are as they were. Returns an empty
// string, or the reason why the text is no legal format.
std::string ParseFormat(const std::string& text, FloatFormat* format);
// What ParseFormat reads.
std::string TextOf(const FloatFormat& format);

// Returns an empty string if the emulation can represent the format, else the reason.
std::string CheckFormat(const FloatFormat& format);

}  // namespace lba

#endif  // LBA_ARITHMETIC_FORMATS_H_
