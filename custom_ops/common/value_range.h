// What the provable short cuts need to know of a set of float32 values.
#ifndef LBA_COMMON_VALUE_RANGE_H_
#define LBA_COMMON_VALUE_RANGE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "common/host_device.h"

namespace lba {

// Magnitudes are kept as bits: those of non-negative float32 values order like integers, and NaN and infinity come
// last.
struct ValueRange {
  uint32_t max_bits = 0;
  uint32_t min_bits_less_one = 0x7fffffffu;  // of the nonzero values; with zeros only it stays the largest
  uint32_t any_bits = 0;                     // bitwise or
  float max_chunk_squares = 0;  // an upper bound, but for roundings, of the sum of squares over a chunk of a vector

  LBA_HOST_DEVICE bool is_finite() const { return max_bits < 0x7f800000u; }
  LBA_HOST_DEVICE bool is_zero() const { return max_bits == 0; }
  LBA_HOST_DEVICE bool has_subnormal() const { return !is_zero() && min_bits_less_one < 0x007fffffu; }
  LBA_HOST_DEVICE double max_abs() const { return FromFloatBits(max_bits); }
  // Smallest nonzero magnitude; infinity when all are zero.
  LBA_HOST_DEVICE double min_abs() const { return is_zero() ? HUGE_VAL : FromFloatBits(min_bits_less_one + 1); }
  // |v| < 2^(max_exponent + 1)
  LBA_HOST_DEVICE int max_exponent() const { return static_cast<int>(max_bits >> 23) - 127; }
  // |v| >= 2^min_exponent for nonzero values; only when there are no subnormals.
  LBA_HOST_DEVICE int min_exponent() const { return static_cast<int>((min_bits_less_one + 1) >> 23) - 127; }

  // Of the widest value, leading one included.
  LBA_HOST_DEVICE int significant_bits() const {
    if (is_zero()) return 0;
    if (has_subnormal()) return 24;
    int bits = 24;
    for (uint32_t mantissa = any_bits; bits > 1 && (mantissa & 1) == 0; mantissa >>= 1) --bits;
    return bits;
  }

  // An upper bound of the Euclidean norm of a chunk of `chunk` values of any one vector.
  LBA_HOST_DEVICE double chunk_norm(int64_t chunk) const {
    // Each of at most 2 * chunk + 2 operations truncated by a factor above 1 - 2^-23 and flushed less than 2^-126.
    const double operations = 2.0 * static_cast<double>(chunk) + 2.0;
    const double kept = 1.0 - operations * 0x1p-23;
    if (kept <= 0.5 || max_chunk_squares >= 0x1p126f) return HUGE_VAL;
    return std::sqrt(max_chunk_squares / kept + operations * 0x1p-126) * (1.0 + 1e-12);
  }

  LBA_HOST_DEVICE void Merge(const ValueRange& other) {
    max_bits = std::max(max_bits, other.max_bits);
    min_bits_less_one = std::min(min_bits_less_one, other.min_bits_less_one);
    any_bits |= other.any_bits;
    max_chunk_squares = std::max(max_chunk_squares, other.max_chunk_squares);
  }

 private:
  // Exact whatever the calling thread's floating-point environment: one that takes float32 subnormals for zeros would
  // lose them in the conversion.
  LBA_HOST_DEVICE static double FromFloatBits(uint32_t bits) {
    if (bits < 0x00800000u) return static_cast<double>(bits) * 0x1p-149;
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
};

// Of a ValueRange, what decides the kernel's variant; computed once for a panel, because every tile asks.
struct PanelBounds {
  double max_abs = 0;
  double chunk_norm = 0;
  int significant_bits = 0;

  PanelBounds() = default;
  LBA_HOST_DEVICE PanelBounds(const ValueRange& range, int64_t chunk)
      : max_abs(range.max_abs()), chunk_norm(range.chunk_norm(chunk)), significant_bits(range.significant_bits()) {}

  LBA_HOST_DEVICE void Merge(const PanelBounds& other) {
    max_abs = std::max(max_abs, other.max_abs);
    chunk_norm = std::max(chunk_norm, other.chunk_norm);
    significant_bits = std::max(significant_bits, other.significant_bits);
  }
};

}  // namespace lba

#endif  // LBA_COMMON_VALUE_RANGE_H_
