#include "kernels/cpu/panel.h"

#include <algorithm>
#include <cstring>

namespace lba {
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
