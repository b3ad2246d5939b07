// Operands as the kernels read them: panels of vectors along the depth, and what is known of their values.
#ifndef LBA_KERNELS_CPU_PANEL_H_
#define LBA_KERNELS_CPU_PANEL_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <utility>

#include "common/value_range.h"

namespace lba {

constexpr int kRowPanel = 8;      // rows of one tile
constexpr int kColumnPanel = 32;  // columns of one tile: the vector lanes

// Memory for packed values, aligned for vector loads; contents undefined.
class AlignedFloats {
 public:
  AlignedFloats() = default;
  explicit AlignedFloats(int64_t count) : size_(count) {
    // Vector tails read a little past the end.
    const size_t bytes = static_cast<size_t>(count) * sizeof(float) + kVectorBytes;
    data_ = static_cast<float*>(::operator new(bytes, kAlignment));
  }
  ~AlignedFloats() { ::operator delete(data_, kAlignment); }
  AlignedFloats(AlignedFloats&& other) noexcept : data_(other.data_), size_(other.size_) {
    other.data_ = nullptr;
    other.size_ = 0;
  }
  AlignedFloats& operator=(AlignedFloats&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }

  float* data() { return data_; }
  const float* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  static constexpr size_t kVectorBytes = 64;
  static constexpr std::align_val_t kAlignment{kVectorBytes};
  float* data_ = nullptr;
  int64_t size_ = 0;
};

// Vectors of one operand, all of the same depth: rows of A, columns of B, filters, or patches of an image.
class PanelSource {
 public:
  virtual ~PanelSource() = default;
  virtual int64_t depth() const = 0;
  virtual int64_t vectors() const = 0;
  // out[k][j] = element k of vector first + j for j < count; zero for count <= j < width.
  virtual void Pack(int64_t first, int count, int width, float* out) const = 0;
};

// Vectors in memory at regular strides.
class StridedSource : public PanelSource {
 public:
  StridedSource(const float* data, int64_t vectors, int64_t depth, int64_t vector_stride, int64_t depth_stride)
      : data_(data), vectors_(vectors), depth_(depth), vector_stride_(vector_stride), depth_stride_(depth_stride) {}
  int64_t depth() const override { return depth_; }
  int64_t vectors() const override { return vectors_; }
  void Pack(int64_t first, int count, int width, float* out) const override;

 private:
  const float* data_;
  int64_t vectors_, depth_, vector_stride_, depth_stride_;
};

inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Floats of `vectors` vectors of `depth` values. Throws std::bad_alloc where that overflows: operands with strides of 0
// can be larger than any memory.
inline int64_t PanelFloats(int64_t vectors, int64_t depth) {
  int64_t floats = 0;
  if (__builtin_mul_overflow(vectors, depth, &floats) || floats > std::numeric_limits<int64_t>::max() / 16) {
    throw std::bad_alloc();
  }
  return floats;
}

}  // namespace lba

#endif  // LBA_KERNELS_CPU_PANEL_H_
