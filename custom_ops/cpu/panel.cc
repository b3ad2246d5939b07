#include "cpu/panel.h"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace lba {
namespace {

// Exact whatever the calling thread's floating-point environment: one that takes float32 subnormals for zeros would
// lose them in the conversion.
double FromFloatBits(uint32_t bits) {
  if (bits < 0x00800000u) return std::ldexp(static_cast<double>(bits), -149);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace

double ValueRange::max_abs() const { return FromFloatBits(max_bits); }

double ValueRange::min_abs() const {
  return is_zero() ? std::numeric_limits<double>::infinity() : FromFloatBits(min_bits_less_one + 1);
}

int ValueRange::min_exponent() const { return static_cast<int>((min_bits_less_one + 1) >> 23) - 127; }

int ValueRange::significant_bits() const {
  if (is_zero()) return 0;
  if (has_subnormal()) return 24;
  const uint32_t mantissa = (any_bits & 0x007fffffu) | 0x00800000u;
  return 24 - __builtin_ctz(mantissa);
}

double ValueRange::chunk_norm(int64_t chunk) const {
  // Each of at most 2 * chunk + 2 operations truncated by a factor above 1 - 2^-23 and flushed less than 2^-126.
  const double operations = 2.0 * static_cast<double>(chunk) + 2.0;
  const double kept = 1.0 - operations * std::ldexp(1.0, -23);
  if (kept <= 0.5 || max_chunk_squares >= 0x1p126f) return std::numeric_limits<double>::infinity();
  return std::sqrt(max_chunk_squares / kept + operations * std::ldexp(1.0, -126)) * (1.0 + 1e-12);
}

namespace {

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define LBA_HAS_SHUFFLES 1
#endif
#endif

// out[k][j] = vectors[j][k] for 4 vectors of consecutive values.
void TransposeFour(const float* vectors, int64_t vector_stride, int64_t depth, int width, float* out) {
  int64_t k = 0;
#ifdef LBA_HAS_SHUFFLES
  typedef float Float4 __attribute__((vector_size(16)));
  for (; k + 4 <= depth; k += 4) {
    Float4 v[4];
    for (int j = 0; j < 4; ++j) std::memcpy(&v[j], vectors + j * vector_stride + k, sizeof v[j]);
    const Float4 low01 = __builtin_shufflevector(v[0], v[1], 0, 4, 1, 5);
    const Float4 low23 = __builtin_shufflevector(v[2], v[3], 0, 4, 1, 5);
    const Float4 high01 = __builtin_shufflevector(v[0], v[1], 2, 6, 3, 7);
    const Float4 high23 = __builtin_shufflevector(v[2], v[3], 2, 6, 3, 7);
    const Float4 rows[4] = {
        __builtin_shufflevector(low01, low23, 0, 1, 4, 5), __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
        __builtin_shufflevector(high01, high23, 0, 1, 4, 5), __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
    for (int i = 0; i < 4; ++i) std::memcpy(out + (k + i) * width, &rows[i], sizeof rows[i]);
  }
#endif
  for (; k < depth; ++k) {
    for (int j = 0; j < 4; ++j) out[k * width + j] = vectors[j * vector_stride + k];
  }
}

}  // namespace

void StridedSource::Pack(int64_t first, int count, int width, float* out) const {
  const float* base = data_ + first * vector_stride_;
  if (count < width) std::fill(out, out + depth_ * width, 0.0f);
  if (vector_stride_ == 1) {
    for (int64_t k = 0; k < depth_; ++k) {
      std::copy(base + k * depth_stride_, base + k * depth_stride_ + count, out + k * width);
    }
    return;
  }
  int packed = 0;
  if (depth_stride_ == 1) {
    for (; packed + 4 <= count; packed += 4) {
      TransposeFour(base + packed * vector_stride_, vector_stride_, depth_, width, out + packed);
    }
  }
  for (int j = packed; j < count; ++j) {
    const float* vector = base + j * vector_stride_;
    for (int64_t k = 0; k < depth_; ++k) out[k * width + j] = vector[k * depth_stride_];
  }
}

}  // namespace lba
