// Which sizes calls may have: such that no product of sizes and no place in an array overflows 64 bits.
#ifndef LBA_COMMON_SIZES_H_
#define LBA_COMMON_SIZES_H_

#include <cmath>
#include <cstdint>
#include <initializer_list>

namespace lba {

constexpr int64_t kMaxSize = (int64_t{1} << 31) - 1;  // of one dimension
constexpr double kMaxValues = 0x1p48;                 // of one array
constexpr double kMaxMultiplies = 0x1p62;             // of one call
constexpr double kMaxExtent = 0x1p60;                 // from the first to the last element of an operand

// The product; sizes of 0 count as 1, so that a part of the product is never larger.
inline double ProductOf(std::initializer_list<int64_t> sizes) {
  double product = 1;
  for (const int64_t size : sizes) product *= size == 0 ? 1.0 : static_cast<double>(size);
  return product;
}

// How far the last of `size` elements is from the first.
inline double DistanceOf(int64_t size, int64_t stride) {
  return size == 0 ? 0.0 : static_cast<double>(size - 1) * std::abs(static_cast<double>(stride));
}

}  // namespace lba

#endif  // LBA_COMMON_SIZES_H_
