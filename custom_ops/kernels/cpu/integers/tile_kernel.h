// The loop of all integer tiles; a path brings vectors, a step one addition. Include it only from files that are
// compiled for one instruction set.
#ifndef LBA_KERNELS_CPU_INTEGERS_TILE_KERNEL_H_
#define LBA_KERNELS_CPU_INTEGERS_TILE_KERNEL_H_

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "kernels/cpu/integers/tile.h"

namespace lba {
namespace {  // each instruction set has its own copy

// Each step is made with the constants and adds elements of 32 or 16 bits.
template <class Vector>
struct DwordStep {
  using V = typename Vector::V;
  using Element = int32_t;
  static V Broadcast(const void* row, int64_t element) {
    int32_t value;
    std::memcpy(&value, static_cast<const char*>(row) + 4 * element, sizeof value);
    return Vector::Set32(value);
  }
};

template <class Vector>
struct WordStep {
  using V = typename Vector::V;
  using Element = int16_t;
  static V Broadcast(const void* row, int64_t element) {
    return Vector::Set16(static_cast<const int16_t*>(row)[element]);
  }
};

template <class Vector>
struct SumPairs : DwordStep<Vector> {
  using V = typename Vector::V;
  explicit SumPairs(const TileConstants&) {}
  V Add(V sum, V lane, V row) const { return Vector::Add32(sum, Vector::Madd(lane, row)); }
};

// Pairs of 16-bit codes, whose two products are added and saturated.
template <class Vector>
struct ClampPairs : DwordStep<Vector> {
  using V = typename Vector::V;
  V least = Vector::Set32(INT16_MIN), most = Vector::Set32(INT16_MAX);
  explicit ClampPairs(const TileConstants&) {}
  V Add(V sum, V lane, V row) const {
    return Vector::Add32(sum, Vector::Max32(Vector::Min32(Vector::Madd(lane, row), most), least));
  }
};

template <class Vector>
struct Clamp : DwordStep<Vector> {
  using V = typename Vector::V;
  V least, most, half, mask;
  explicit Clamp(const TileConstants& c)
      : least(Vector::Set32(c.least)),
        most(Vector::Set32(c.most)),
        half(Vector::Set32(c.half)),
        mask(Vector::Set32(c.mask)) {}
  V Add(V sum, V lane, V row) const {
    const V product = Vector::And(Vector::Add32(Vector::Madd(lane, row), half), mask);
    return Vector::Max32(Vector::Min32(Vector::Add32(sum, product), most), least);
  }
};

template <class Vector>
struct ClampWords : WordStep<Vector> {
  using V = typename Vector::V;
  V least, most;
  explicit ClampWords(const TileConstants& c)
      : least(Vector::Set16(static_cast<int16_t>(c.least))), most(Vector::Set16(static_cast<int16_t>(c.most))) {}
  V Add(V sum, V lane, V row) const {
    return Vector::Max16(Vector::Min16(Vector::AddSaturating16(sum, Vector::Multiply16(lane, row)), most), least);
  }
};

template <class Vector>
struct WrapWords : WordStep<Vector> {
  using V = typename Vector::V;
  explicit WrapWords(const TileConstants&) {}
  V Add(V sum, V lane, V row) const { return Vector::Add16(sum, Vector::Multiply16(lane, row)); }
};

// A group's sums of some lanes join the totals.
template <class Element>
void JoinGroup(const TileConstants& c, const Element* sums, int count, int32_t* totals) {
  for (int i = 0; i < count; ++i) {
    const int32_t sum = static_cast<int32_t>(static_cast<uint32_t>(int32_t{sums[i]}) << c.unused_bits) >> c.unused_bits;
    const int32_t total = static_cast<int32_t>(static_cast<uint32_t>(totals[i]) + static_cast<uint32_t>(sum));
    totals[i] = std::min(std::max(total, c.total_least), c.total_most);
  }
}

template <class Vector, class Step, int kRows, int kVectors>
void RunTilePart(const IntegerTileArgs& args, int first_lane) {
  using V = typename Vector::V;
  using Element = typename Step::Element;
  constexpr int kWidth = sizeof(V) / sizeof(Element);
  const Step step(*args.constants);
  const Element* lanes = static_cast<const Element*>(args.lanes) + first_lane;
  const char* row = static_cast<const char*>(args.rows);
  const int64_t length = args.group_elements == 0 ? args.elements : args.group_elements;
  int32_t* totals = args.sums + first_lane;
  const bool is_joined = args.group_elements != 0;
  for (int r = 0; r < kRows && is_joined; ++r) std::fill_n(totals + r * kTileLanes, kVectors * kWidth, 0);
  for (int64_t begin = 0; begin < args.elements; begin += length) {
    V sums[kRows][kVectors] = {};
    const int64_t end = std::min(begin + length, args.elements);
    for (int64_t k = begin; k < end; ++k) {
      V lane[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) lane[v] = Vector::Load(lanes + k * kTileLanes + v * kWidth);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
        const V value = Step::Broadcast(row + r * args.row_stride, k);
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sums[r][v] = step.Add(sums[r][v], lane[v], value);
      }
    }
    for (int r = 0; r < kRows; ++r) {
      int32_t* row_totals = totals + r * kTileLanes;
      if (!is_joined && sizeof(Element) == sizeof(int32_t)) {
        std::memcpy(row_totals, sums[r], sizeof sums[r]);
        continue;
      }
      Element values[kVectors * kWidth];
      std::memcpy(values, sums[r], sizeof values);
      if (is_joined) {
        JoinGroup(*args.constants, values, kVectors * kWidth, row_totals);
      } else {
        std::copy_n(values, kVectors * kWidth, row_totals);
      }
    }
  }
}

template <class Vector, class Step, int kVectors>
void RunLanes(const IntegerTileArgs& args) {
  constexpr int kLanes = kVectors * static_cast<int>(sizeof(typename Vector::V) / sizeof(typename Step::Element));
  for (int lane = 0; lane < args.lane_count; lane += kLanes) {
    (args.row_count == 1 ? RunTilePart<Vector, Step, 1, kVectors>
                         : RunTilePart<Vector, Step, kTileRows, kVectors>)(args, lane);
  }
}

// Vectors of lanes side by side: all of the tile where registers suffice, one where one holds the lanes.
template <class Vector, class Step>
void RunIntegerTile(const IntegerTileArgs& args) {
  constexpr int kWidth = sizeof(typename Vector::V) / sizeof(typename Step::Element);
  constexpr int kMost = std::min(Vector::kVectors, kTileLanes / kWidth);
  if (args.lane_count <= kWidth) {
    RunLanes<Vector, Step, 1>(args);
  } else if (args.lane_count <= 2 * kWidth || kMost == 2) {
    RunLanes<Vector, Step, 2>(args);
  } else {
    RunLanes<Vector, Step, kMost>(args);
  }
}

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_TILE_KERNEL_H_
