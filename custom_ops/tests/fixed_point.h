// An exact slow model of chunked floats that shares nothing with the library: sums and products as integers of 640
// bits.
#ifndef LBA_TESTS_FIXED_POINT_H_
#define LBA_TESTS_FIXED_POINT_H_

#include <array>
#include <cmath>
#include <cstdint>

#include "arithmetic/formats.h"

namespace lba {

// What a rounding may do, right or wrong.
enum class Model {
  kTruncate,
  kNearest,     // ties to even; then what is too small becomes zero
  kTiesAway,    // wrong: ties away from zero
  kFlushFirst,  // wrong: what is too small becomes zero before it is rounded
};

// A multiple of 2^-300 below 2^340 in magnitude.
class Fixed {
 public:
  static Fixed Product(float x, float w) {
    int x_exponent, w_exponent;
    const int64_t x_integer = Integer(x, &x_exponent), w_integer = Integer(w, &w_exponent);
    const int64_t product = x_integer * w_integer;  // of 48 bits
    Fixed result;
    result.is_negative_ = product < 0;
    const uint64_t magnitude = product < 0 ? -static_cast<uint64_t>(product) : static_cast<uint64_t>(product);
    for (int i = 0; i < 48; ++i) {
      if (magnitude >> i & 1) result.SetBit(i + x_exponent + w_exponent + kUnit);
    }
    return result;
  }

  bool IsLargest(const FloatFormat& format) const { return *this == Largest(format, is_negative_); }

  static Fixed Largest(const FloatFormat& format, bool is_negative) {
    Fixed result;
    result.is_negative_ = is_negative;
    for (int i = 0; i <= format.mantissa_bits; ++i) result.SetBit(format.max_exponent() - i + kUnit);
    return result;
  }

  bool IsZero() const { return Top() < 0; }
  bool operator==(const Fixed& other) const {
    return words_ == other.words_ && (is_negative_ == other.is_negative_ || IsZero());
  }

  Fixed operator+(const Fixed& other) const {
    if (is_negative_ == other.is_negative_) return Sum(*this, other);
    return IsSmaller(*this, other) ? Difference(other, *this) : Difference(*this, other);
  }

  Fixed Quantized(const FloatFormat& format, bool underflow, Model model) const {
    const int smallest = underflow ? -format.exponent_bias : -126;
    if (model == Model::kFlushFirst && Top() < smallest + kUnit) return {};
    const Fixed rounded = Rounded(Top() - format.mantissa_bits, model);
    if (rounded.Top() < smallest + kUnit) return {};
    const Fixed largest = Largest(format, is_negative_);
    return IsSmaller(rounded, largest) ? rounded : largest;
  }

  float ToFloat() const {
    double value = 0;
    for (int i = 0; i < kWords; ++i) value += std::ldexp(static_cast<double>(words_[i]), 32 * i - kUnit);
    return static_cast<float>(is_negative_ ? -value : value);
  }

 private:
  static constexpr int kWords = 20, kUnit = 300;

  static int64_t Integer(float value, int* exponent) {
    const float fraction = std::frexp(value, exponent);
    *exponent -= 24;
    return static_cast<int64_t>(std::ldexp(fraction, 24));
  }

  static bool IsSmaller(const Fixed& a, const Fixed& b) {  // in magnitude
    for (int i = kWords - 1; i >= 0; --i) {
      if (a.words_[i] != b.words_[i]) return a.words_[i] < b.words_[i];
    }
    return false;
  }
  static Fixed Sum(const Fixed& a, const Fixed& b) {
    Fixed sum = a;
    uint64_t carry = 0;
    for (int i = 0; i < kWords; ++i) {
      carry += uint64_t{a.words_[i]} + b.words_[i];
      sum.words_[i] = static_cast<uint32_t>(carry);
      carry >>= 32;
    }
    return sum;
  }
  static Fixed Difference(const Fixed& a, const Fixed& b) {
    Fixed difference = a;
    int64_t borrow = 0;
    for (int i = 0; i < kWords; ++i) {
      borrow += int64_t{a.words_[i]} - b.words_[i];
      difference.words_[i] = static_cast<uint32_t>(borrow);
      borrow >>= 32;
    }
    return difference;
  }

  bool Bit(int i) const { return words_[i / 32] >> i % 32 & 1; }
  void SetBit(int i) { words_[i / 32] |= 1u << i % 32; }
  int Top() const {  // the highest bit; -1 of zero
    int word = kWords - 1;
    while (word >= 0 && words_[word] == 0) --word;
    return word < 0 ? -1 : 32 * word + 31 - __builtin_clz(words_[word]);
  }
  // The bits below `first`.
  Fixed Below(int first) const {
    Fixed below = *this;
    below.words_[first / 32] &= (1u << first % 32) - 1;
    for (int i = first / 32 + 1; i < kWords; ++i) below.words_[i] = 0;
    return below;
  }

  // To a multiple of 2^first, as bits count.
  Fixed Rounded(int first, Model model) const {
    if (first <= 0) return *this;
    const Fixed kept = Difference(*this, Below(first));
    const bool is_half = Bit(first - 1), has_more = Below(first - 1).Top() >= 0;
    const bool goes_up = is_half && (has_more || model == Model::kTiesAway || Bit(first));
    if (model == Model::kTruncate || !goes_up) return kept;
    Fixed one;
    one.SetBit(first);
    return Sum(kept, one);
  }

  bool is_negative_ = false;
  std::array<uint32_t, kWords> words_{};
};

}  // namespace lba

#endif  // LBA_TESTS_FIXED_POINT_H_
