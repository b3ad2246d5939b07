// The vectors of codes that an integer product multiplies, element by element in the order in which it sums.
#ifndef LBA_KERNELS_CPU_INTEGERS_CHAINS_H_
#define LBA_KERNELS_CPU_INTEGERS_CHAINS_H_

#include <array>
#include <cstdint>
#include <vector>

#include "common/integer_sums.h"
#include "lba/conv.h"
#include "lba/integer_product.h"

namespace lba {

inline int32_t CodeAt(const void* data, CodeType type, int64_t index) {
  return type == CodeType::kUint8 ? static_cast<const uint8_t*>(data)[index] : static_cast<const int8_t*>(data)[index];
}

inline int32_t ZeroPointOf(const Codes& codes, int64_t vector) {
  if (codes.zero_points == nullptr) return 0;
  return codes.zero_points[codes.has_many_zero_points ? vector : 0];
}

// Code k of vector v is at offsets[k] + v * vector_stride.
struct CodeVectors {
  const void* data;
  CodeType type;
  int64_t vectors, vector_stride;
  std::vector<int64_t> offsets;  // by place in the chain; -1: none, a zero

  int64_t length() const { return static_cast<int64_t>(offsets.size()); }
  int32_t At(int64_t vector, int64_t place) const {
    return CodeAt(data, type, offsets[place] + vector * vector_stride);
  }
  // The codes of one vector and `shift`, zeros where there is none.
  void Load(int64_t vector, int32_t shift, int16_t* chain) const;
};

// Offsets k * stride in the order of the sums.
std::vector<int64_t> ChainOffsets(const IntegerSums& sums, int64_t depth, int64_t stride);

// Which element of a filter, [channel][kernel position], each place of the chain of a convolution holds; -1: none.
std::vector<int64_t> FilterOrder(const IntegerSums& sums, const ConvShape& shape);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_CHAINS_H_
