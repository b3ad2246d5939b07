// Sums of products of integer codes as kernels know them: overflowing levels, what is accumulated, and in which order.
#ifndef LBA_COMMON_INTEGER_SUMS_H_
#define LBA_COMMON_INTEGER_SUMS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

namespace lba {

enum class CodeType { kUint8, kInt8 };

// Sums of `terms` items of the level below (products, at the innermost), each held in `bits` bits after each addition.
struct IntegerLevel {
  int64_t terms = 0;  // 0: all there are, as at the last level
  int bits = 32;      // 4 to 64
  bool saturates = false;

  bool operator==(const IntegerLevel& other) const {
    return terms == other.terms && bits == other.bits && saturates == other.saturates;
  }
};

// One or two levels. What is accumulated is (x + x_shift) * (w + w_shift), codes and shifts; exact corrections behind
// make it the sum of (x - zero point) * (w - zero point).
struct IntegerSums {
  std::vector<IntegerLevel> levels;
  int dropped_bits = 0;        // of each product, lowest first
  bool rounds_up = false;      // products to the nearest, halves up; else down
  bool is_raw = false;         // codes as they are; else zero points are taken off before
  bool is_kernel = false;      // a shipping kernel's: exact in 32 bits where w is uint8, and in depthwise convolutions
  int32_t raw_shifts[2] = {};  // of raw codes of x, by type
  bool is_channels_last = false;  // order in convolutions: kernel position by kernel position, channels fastest
  int64_t distance = 1;           // product k is followed by k + distance, in blocks of twice as many

  bool is_wide() const { return levels.back().bits > 32; }  // results are int64, else int32
  // These sums for operands of those types: exact ones where the groups of this arithmetic play no part.
  IntegerSums For(CodeType w_type, bool is_depthwise) const {
    IntegerSums sums = *this;
    if (is_kernel && (w_type == CodeType::kUint8 || is_depthwise)) {
      for (IntegerLevel& level : sums.levels) level = {level.terms, 32, false};
    }
    return sums;
  }
  int32_t XShift(CodeType type, int32_t zero_point) const {
    return is_raw ? raw_shifts[static_cast<int>(type)] : -zero_point;
  }
  int32_t WShift(int32_t zero_point) const { return is_raw ? 0 : -zero_point; }
  // How many products a chain has, with zeros behind those that fill the last block.
  int64_t Padded(int64_t depth) const {
    const int64_t block = distance == 1 ? 1 : 2 * distance;
    return (depth + block - 1) / block * block;
  }
  // Where in the chain the k-th product is.
  int64_t PlaceOf(int64_t k) const {
    if (distance == 1) return k;
    const int64_t within = k % (2 * distance);
    return k - within + within % distance * 2 + within / distance;
  }
};

namespace {  // each instruction set has its own copy

inline int64_t MostOf(int bits) { return static_cast<int64_t>(~uint64_t{0} >> (65 - bits)); }
inline int64_t LeastOf(int bits) { return -MostOf(bits) - 1; }

inline int64_t Wrapped(int64_t value, int bits) {
  const int unused = 64 - bits;
  return static_cast<int64_t>(static_cast<uint64_t>(value) << unused) >> unused;
}

inline bool Fits(int64_t value, int bits) { return Wrapped(value, bits) == value; }

// The product as it is added.
inline int64_t RoundedProduct(int64_t product, const IntegerSums& sums) {
  if (sums.dropped_bits == 0) return product;
  const int64_t half = sums.rounds_up ? int64_t{1} << (sums.dropped_bits - 1) : 0;
  return (product + half) & -(int64_t{1} << sums.dropped_bits);
}

// What a level makes of the sum of two of its values: a multiple of 2^dropped_bits.
inline int64_t HeldSum(int64_t a, int64_t b, const IntegerLevel& level, int dropped_bits) {
  int64_t sum;
  const bool is_beyond = __builtin_add_overflow(a, b, &sum);  // then wrapped to 64 bits
  if (!level.saturates) return Wrapped(sum, level.bits);
  const int64_t least = LeastOf(level.bits), most = MostOf(level.bits) >> dropped_bits << dropped_bits;
  if (is_beyond) return b < 0 ? least : most;
  return std::clamp(sum, least, most);
}

// The sum by definition, one value at a time, in the order of the chain.
inline int64_t SumChain(const IntegerSums& sums, const int16_t* x, const int16_t* w, int64_t depth) {
  const IntegerLevel &inner = sums.levels.front(), &outer = sums.levels.back();
  const bool is_one = sums.levels.size() == 1;
  const int64_t terms = is_one ? std::max<int64_t>(depth, 1) : inner.terms;
  int64_t total = 0;
  for (int64_t begin = 0; begin < depth; begin += terms) {
    int64_t sum = 0;
    for (int64_t k = begin; k < std::min(begin + terms, depth); ++k) {
      sum = HeldSum(sum, RoundedProduct(int64_t{x[k]} * w[k], sums), inner, sums.dropped_bits);
    }
    total = is_one ? sum : HeldSum(total, sum, outer, sums.dropped_bits);
  }
  return total;
}

}  // namespace
}  // namespace lba

#endif  // LBA_COMMON_INTEGER_SUMS_H_
