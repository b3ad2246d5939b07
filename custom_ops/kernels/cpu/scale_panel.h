// The range of a panel's values, and the panel scaled. Include it only from files that are compiled for one instruction
// set.
#ifndef LBA_KERNELS_CPU_SCALE_PANEL_H_
#define LBA_KERNELS_CPU_SCALE_PANEL_H_

#include <algorithm>
#include <cstring>

#include "common/value_range.h"
#include "kernels/cpu/panel.h"

namespace lba {
namespace {  // each instruction set has its own copy

// Eight values at a time, whatever the instruction set: the compiler lowers these types to what it has.
typedef float Float8 __attribute__((vector_size(32)));
typedef int32_t Int8 __attribute__((vector_size(32)));

// The range of one lane of a panel. Magnitudes as signed integers order like the values.
struct LaneRanges {
  Int8 max_bits, min_bits_less_one, any_bits;
  Float8 squares, max_squares;
};

// One row of a panel: count it, then scale it.
inline void ScaleEight(float* values, float scale, LaneRanges* lanes) {
  Float8 x;
  std::memcpy(&x, values, sizeof x);
  const Int8 bits = reinterpret_cast<Int8>(x);
  const Int8 magnitude = bits & 0x7fffffff;
  const Int8 less_one = (magnitude - 1) & 0x7fffffff;  // zeros become the largest
  lanes->max_bits = magnitude > lanes->max_bits ? magnitude : lanes->max_bits;
  lanes->min_bits_less_one = less_one < lanes->min_bits_less_one ? less_one : lanes->min_bits_less_one;
  lanes->any_bits |= bits;
  lanes->squares += x * x;
  x *= scale;
  std::memcpy(values, &x, sizeof x);
}

inline void EndChunk(LaneRanges* lanes) {
  lanes->max_squares = lanes->squares > lanes->max_squares ? lanes->squares : lanes->max_squares;
  lanes->squares -= lanes->squares;
}

template <int kWidth>
ValueRange ScaleWidePanel(float* panel, int64_t depth, int64_t chunk, float scale) {
  constexpr int kGroups = kWidth / 8;
  LaneRanges lanes[kGroups];
  for (LaneRanges& group : lanes) group = LaneRanges{Int8{}, Int8{} + 0x7fffffff, Int8{}, Float8{}, Float8{}};
  for (int64_t begin = 0; begin < depth; begin += chunk) {
    const int64_t end = std::min(begin + chunk, depth);
    for (int64_t k = begin; k < end; ++k) {
#pragma GCC unroll 4
      for (int g = 0; g < kGroups; ++g) ScaleEight(panel + k * kWidth + g * 8, scale, &lanes[g]);
    }
    for (LaneRanges& group : lanes) EndChunk(&group);
  }
  ValueRange range;
  for (const LaneRanges& group : lanes) {
    for (int j = 0; j < 8; ++j) {
      range.Merge(ValueRange{static_cast<uint32_t>(group.max_bits[j]),
                             static_cast<uint32_t>(group.min_bits_less_one[j]),
                             static_cast<uint32_t>(group.any_bits[j]), group.max_squares[j]});
    }
  }
  return range;
}

// Panels of one vector: the filters of direct convolutions, which are short.
inline ValueRange ScaleVector(float* vector, int64_t depth, int64_t chunk, float scale) {
  ValueRange range;
  for (int64_t begin = 0; begin < depth; begin += chunk) {
    const int64_t end = std::min(begin + chunk, depth);
    float squares = 0;
    for (int64_t k = begin; k < end; ++k) {
      uint32_t bits;
      std::memcpy(&bits, vector + k, sizeof bits);
      const uint32_t magnitude = bits & 0x7fffffffu;
      range.Merge(ValueRange{magnitude, (magnitude - 1) & 0x7fffffffu, bits, 0});
      squares += vector[k] * vector[k];
      vector[k] *= scale;
    }
    range.max_chunk_squares = std::max(range.max_chunk_squares, squares);
  }
  return range;
}

inline ValueRange ScalePanel(float* panel, int64_t depth, int width, int64_t chunk, float scale) {
  if (width == kColumnPanel) return ScaleWidePanel<kColumnPanel>(panel, depth, chunk, scale);
  if (width == kRowPanel) return ScaleWidePanel<kRowPanel>(panel, depth, chunk, scale);
  return ScaleVector(panel, depth, chunk, scale);
}

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_SCALE_PANEL_H_
