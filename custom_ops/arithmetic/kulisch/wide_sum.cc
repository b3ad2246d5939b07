#include "arithmetic/kulisch/wide_sum.h"

#include <algorithm>
#include <cstring>

namespace lba {
namespace {

constexpr uint64_t kDigitMask = 0xffffffff;
constexpr int kFloatBits = 24, kDoubleBits = 53;

// |value| = significand * 2^(position - 149) for finite values.
struct FloatParts {
  uint32_t significand;
  int position;
  bool is_negative;

  explicit FloatParts(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const int field = static_cast<int>(bits >> (kFloatBits - 1) & 0xff);
    significand = (bits & 0x7fffff) | (field == 0 ? 0 : 0x800000);
    position = std::max(field, 1) - 1;
    is_negative = bits >> 31 != 0;
  }
};

int BitLength(uint64_t value) { return value == 0 ? 0 : 64 - __builtin_clzll(value); }

}  // namespace

void WideSum::AddProduct(float x, float w) {
  if (!std::isfinite(x) || !std::isfinite(w)) {
    special_ += static_cast<double>(x) * static_cast<double>(w);
    return;
  }
  const FloatParts a(x), b(w);
  AddAt(uint64_t{a.significand} * b.significand, a.position + b.position, a.is_negative != b.is_negative);
}

void WideSum::Add(double value) {
  if (value == 0) return;
  int exponent = 0;
  const double fraction = std::frexp(std::fabs(value), &exponent);
  auto magnitude = static_cast<uint64_t>(std::ldexp(fraction, kDoubleBits));
  const int position = exponent - kDoubleBits - kUnitLog2;
  if (position < 0) magnitude >>= -position;  // zeros: units are whole
  AddAt(magnitude, std::max(position, 0), value < 0);
}

void WideSum::AddAt(uint64_t magnitude, int position, bool is_negative) {
  const int digit = position / kDigitBits, shift = position % kDigitBits;
  const uint64_t low = (magnitude & kDigitMask) << shift, high = (magnitude >> kDigitBits) << shift;
  const auto first = static_cast<int64_t>(low & kDigitMask), third = static_cast<int64_t>(high >> kDigitBits);
  const auto second = static_cast<int64_t>((low >> kDigitBits) + (high & kDigitMask));
  const int64_t sign = is_negative ? -1 : 1;
  digits_[digit] += sign * first;
  digits_[digit + 1] += sign * second;
  digits_[digit + 2] += sign * third;
  if (++additions_ == kMostAdditions) PassCarries();
}

void WideSum::PassCarries() {
  for (int i = 0; i + 1 < kDigits; ++i) {
    const int64_t carry = digits_[i] >> kDigitBits;  // rounds down
    digits_[i] -= carry * (int64_t{1} << kDigitBits);
    digits_[i + 1] += carry;
  }
  additions_ = 0;
}

double WideSum::ToOdd() const {
  if (special_ != 0) return special_;
  WideSum sum = *this;
  sum.PassCarries();
  const bool is_negative = sum.digits_[kDigits - 1] < 0;
  if (is_negative) {
    for (int64_t& digit : sum.digits_) digit = -digit;
    sum.PassCarries();
  }
  int top = kDigits - 1;
  while (top > 0 && sum.digits_[top] == 0) --top;
  const auto digit = [&](int i) { return i < 0 ? uint64_t{0} : static_cast<uint64_t>(sum.digits_[i]); };
  const int bits = BitLength(digit(top)) + kDigitBits;
  if (bits == kDigitBits) return 0;
  uint64_t kept = digit(top) << kDigitBits | digit(top - 1), rest = digit(top - 2);
  if (bits > kDoubleBits) {
    rest |= kept & ((uint64_t{1} << (bits - kDoubleBits)) - 1);
    kept >>= bits - kDoubleBits;
  } else {
    const int more = kDoubleBits - bits;
    kept = kept << more | rest >> (kDigitBits - more);
    rest &= kDigitMask >> more;
  }
  for (int i = 0; i < top - 2; ++i) rest |= digit(i);
  const double odd = static_cast<double>(kept | (rest != 0 ? 1 : 0));
  const double magnitude = std::ldexp(odd, kDigitBits * (top - 1) + bits - kDoubleBits + kUnitLog2);
  return is_negative ? -magnitude : magnitude;
}

}  // namespace lba
