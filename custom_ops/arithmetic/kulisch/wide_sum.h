// A register wide enough for the exact sum of products of float32 values: integers that count units of 2^-298, the
// smallest product. Usable on the host and on a GPU. Not for files that are compiled for one instruction set.
#ifndef LBA_ARITHMETIC_KULISCH_WIDE_SUM_H_
#define LBA_ARITHMETIC_KULISCH_WIDE_SUM_H_

#include <cmath>
#include <cstdint>

#include "arithmetic/chunked_float/definition.h"
#include "common/host_device.h"

namespace lba {

class WideSum {
 public:
  // The exact product of two float32 values, or the sum of some: a whole number of units, at most 2^256 in magnitude.
  // Infinities and NaN are summed apart from numbers.
  LBA_HOST_DEVICE void Add(double value) {
    if (value - value != 0) {
      special_ += value;
      return;
    }
    const uint64_t bits = BitsOf(value);
    const int field = static_cast<int>(bits >> kMantissaBits & 0x7ff);
    if (field == 0) return;  // zero: units are normal numbers
    uint64_t magnitude = (bits & kMantissaMask) | (kMantissaMask + 1);
    int position = field - 1023 - kMantissaBits - kUnitLog2;
    if (position < 0) {
      magnitude >>= -position;  // zeros: units are whole
      position = 0;
    }
    AddAt(magnitude, position, bits >> 63 != 0);
  }

  // The sum rounded to odd to 53 bits, as RuledOutput rounds it further; +0 where it is zero.
  LBA_HOST_DEVICE double ToOdd() const {
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
    const int exponent = kDigitBits * (top - 1) + bits - kDoubleBits + kUnitLog2;
    const double magnitude = odd * FromBits(static_cast<uint64_t>(exponent + 1023) << kMantissaBits);
    return is_negative ? -magnitude : magnitude;
  }

 private:
  // Digits of 32 bits with room for carries; the last takes what 2^31 products carry beyond the largest one.
  static constexpr int kDigits = 19, kDigitBits = 32;
  static constexpr int kUnitLog2 = -298;
  static constexpr int kDoubleBits = 53, kMantissaBits = 52;
  static constexpr uint64_t kDigitMask = 0xffffffff, kMantissaMask = (uint64_t{1} << kMantissaBits) - 1;
  static constexpr int64_t kMostAdditions = int64_t{1} << 28;  // until carries have to be passed on

  LBA_HOST_DEVICE static int BitLength(uint64_t value) {
    int bits = 0;
    for (int step = 32; step > 0; step /= 2) {
      if (value >> step == 0) continue;
      value >>= step;
      bits += step;
    }
    return bits + static_cast<int>(value);
  }

  LBA_HOST_DEVICE void AddAt(uint64_t magnitude, int position, bool is_negative) {
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

  LBA_HOST_DEVICE void PassCarries() {
    for (int i = 0; i + 1 < kDigits; ++i) {
      const int64_t carry = digits_[i] >> kDigitBits;  // rounds down
      digits_[i] -= carry * (int64_t{1} << kDigitBits);
      digits_[i + 1] += carry;
    }
    additions_ = 0;
  }

  int64_t digits_[kDigits]{};
  int64_t additions_ = 0;
  double special_ = 0;
};

}  // namespace lba

#endif  // LBA_ARITHMETIC_KULISCH_WIDE_SUM_H_
