// Floating-point formats and the accumulator specification (docs/numerics.md).
#ifndef LBA_FORMAT_H_
#define LBA_FORMAT_H_

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

// What becomes of the bits that a format has no room for.
enum class Rounding { kTruncate, kNearest };

struct AccumulatorSpec {
  FloatFormat product_format;
  FloatFormat accumulator_format;
  int64_t chunk_size = 16;  // 0: the whole depth is one chunk
  bool underflow = true;
  Rounding rounding = Rounding::kTruncate;

  // Number of consecutive products per chunk for a dot product of this depth; at least 1.
  int64_t ChunkLength(int64_t depth) const;
};

// Reads "M7E4b10" (a negative bias is written "b-3"). Returns an empty string and fills `format`, or
// returns the reason why the text is no legal format.
std::string ParseFormat(const std::string& text, FloatFormat* format);
// What ParseFormat reads.
std::string TextOf(const FloatFormat& format);

// Returns an empty string if the emulation can represent the format or specification, else the reason.
std::string CheckFormat(const FloatFormat& format);
std::string CheckSpec(const AccumulatorSpec& spec);

}  // namespace lba

#endif  // LBA_FORMAT_H_
