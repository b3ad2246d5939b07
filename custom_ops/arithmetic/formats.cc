#include "arithmetic/formats.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace lba {
namespace {

constexpr int kMaxMantissaBits = 22;
constexpr int kMaxExponentBias = 126;
constexpr int kMaxExponent = 127;

// Reads an optionally signed decimal integer of at most 6 digits; returns false if there is none.
bool ReadInteger(const std::string& text, size_t* position, int* value) {
  size_t end = *position;
  if (end < text.size() && text[end] == '-') ++end;
  const size_t digits = end;
  while (end < text.size() && text[end] >= '0' && text[end] <= '9') ++end;
  if (end == digits || end - digits > 6) return false;
  *value = std::atoi(text.substr(*position, end - *position).c_str());
  *position = end;
  return true;
}

bool ReadField(const std::string& text, char letter, size_t* position, int* value) {
  if (*position >= text.size() || text[*position] != letter) return false;
  ++*position;
  return ReadInteger(text, position, value);
}

}  // namespace

double FloatFormat::max_value() const {
  const int last_bit = -mantissa_bits + (has_dlfloat_codes ? 1 : 0);
  return std::ldexp(2.0 - std::ldexp(1.0, last_bit), max_exponent());
}

double FloatFormat::min_value() const {
  return std::ldexp(1.0 + (has_dlfloat_codes ? std::ldexp(1.0, -mantissa_bits) : 0.0), min_exponent());
}

double FloatFormat::overflow_value() const {
  if (has_dlfloat_codes) return std::numeric_limits<double>::quiet_NaN();
  return has_infinity ? HUGE_VAL : max_value();
}

bool FloatFormat::operator==(const FloatFormat& other) const {
  return mantissa_bits == other.mantissa_bits && exponent_bits == other.exponent_bits &&
         exponent_bias == other.exponent_bias && has_infinity == other.has_infinity &&
         has_subnormals == other.has_subnormals && has_dlfloat_codes == other.has_dlfloat_codes;
}

std::string ParseFormat(const std::string& text, FloatFormat* format) {
  size_t position = 0;
  FloatFormat parsed = *format;
  const bool is_read = ReadField(text, 'M', &position, &parsed.mantissa_bits) &&
                       ReadField(text, 'E', &position, &parsed.exponent_bits) &&
                       ReadField(text, 'b', &position, &parsed.exponent_bias) && position == text.size();
  if (!is_read) return "expected a format such as M7E4b10, got \"" + text + "\"";
  const std::string reason = CheckFormat(parsed);
  if (reason.empty()) *format = parsed;
  return reason;
}

std::string TextOf(const FloatFormat& format) {
  return "M" + std::to_string(format.mantissa_bits) + "E" + std::to_string(format.exponent_bits) + "b" +
         std::to_string(format.exponent_bias);
}

std::string CheckFormat(const FloatFormat& format) {
  const bool has_codes = format.has_infinity || format.has_subnormals;
  const int most_mantissa_bits = kMaxMantissaBits + (has_codes ? 1 : 0);
  if (format.mantissa_bits < 0 || format.mantissa_bits > most_mantissa_bits) {
    return "expected mantissa_bits from 0 to " + std::to_string(most_mantissa_bits) + ", got " +
           std::to_string(format.mantissa_bits);
  }
  if (format.exponent_bits < (has_codes ? 2 : 1) || format.exponent_bits > 8) {
    return "expected exponent_bits from " + std::to_string(has_codes ? 2 : 1) + " to 8, got " +
           std::to_string(format.exponent_bits);
  }
  if (format.has_dlfloat_codes && (format.mantissa_bits == 0 || has_codes)) {
    return "expected a mantissa bit, and neither infinity nor subnormals, beside the codes of DLFloat";
  }
  const int most_bias = kMaxExponentBias + (format.has_subnormals ? 1 : 0);
  if (format.exponent_bias > most_bias) {
    return "expected exponent_bias of at most " + std::to_string(most_bias) + ", got " +
           std::to_string(format.exponent_bias);
  }
  const int64_t max_exponent =
      (int64_t{1} << format.exponent_bits) - 1 - format.exponent_bias - (format.has_infinity ? 1 : 0);  // of any int
  if (max_exponent > kMaxExponent) {
    return "expected a largest exponent of at most 127, got " + std::to_string(max_exponent);
  }
  return "";
}

}  // namespace lba
