// A register wide enough for the exact sum of products of float32 values: integers that count units of 2^-298, the
// smallest product. Not for files that are compiled for one instruction set.
#ifndef LBA_ARITHMETIC_KULISCH_WIDE_SUM_H_
#define LBA_ARITHMETIC_KULISCH_WIDE_SUM_H_

#include <cmath>
#include <cstdint>

namespace lba {

class WideSum {
 public:
  // Infinities and NaN are summed apart from numbers.
  void AddProduct(float x, float w);
  // A whole number of units, at most 2^256 in magnitude.
  void Add(double value);

  // The sum rounded to odd to 53 bits, as RuledOutput rounds it further; +0 where it is zero.
  double ToOdd() const;

 private:
  // Digits of 32 bits with room for carries; the last takes what 2^31 products carry beyond the largest one.
  static constexpr int kDigits = 19, kDigitBits = 32;
  static constexpr int kUnitLog2 = -298;
  static constexpr int64_t kMostAdditions = int64_t{1} << 28;  // until carries have to be passed on

  void AddAt(uint64_t magnitude, int position, bool is_negative);
  void PassCarries();

  int64_t digits_[kDigits]{};
  int64_t additions_ = 0;
  double special_ = 0;
};

}  // namespace lba

#endif  // LBA_ARITHMETIC_KULISCH_WIDE_SUM_H_
