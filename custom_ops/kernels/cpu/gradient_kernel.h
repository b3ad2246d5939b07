// The gradients of a tile's operands from the products that stay open. A Vectors brings a vector type V of kLanes
// float32 values, the block that keeps its registers busy (kRows x kVectors), and
//   Zero, Load, Set (one value), Store, Add
//   MultiplyAddWhere(bits, a, b, sum)   sum + a * b in the lanes whose bit is set, sum in the others
//   AddSums<kRows>(vectors, out)        adds the sum over the lanes of each vector to out[r]
// Include it only from files that are compiled for one instruction set.
#ifndef LBA_KERNELS_CPU_GRADIENT_KERNEL_H_
#define LBA_KERNELS_CPU_GRADIENT_KERNEL_H_

#include <algorithm>
#include <cstring>

#include "kernels/cpu/gates.h"
#include "kernels/cpu/panel.h"

namespace lba {
namespace {  // each instruction set has its own copy

template <class Vectors, int kRows, int kVectors, bool kWantsRows, bool kWantsColumns>
void GradientBlock(const GradientArgs& args, int row, int column) {
  using V = typename Vectors::V;
  constexpr int kLanes = Vectors::kLanes;
  V grad[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      grad[r][v] = Vectors::Load(args.grad + (row + r) * kColumnPanel + column + v * kLanes);
    }
  }
  const uint32_t* open = args.open + row;
  for (int64_t k = args.begin; k < args.end; ++k, open += args.open_step) {
    const float* rows = args.rows + k * kRowPanel + row;
    const int64_t at = k * kColumnPanel + column;
    V w[kVectors], sums[kVectors], parts[kRows];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      if constexpr (kWantsRows) w[v] = Vectors::Load(args.columns + at + v * kLanes);
      if constexpr (kWantsColumns) sums[v] = Vectors::Load(args.grad_columns + at + v * kLanes);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const uint32_t bits = open[r] >> column;
      V x;
      if constexpr (kWantsColumns) x = Vectors::Set(rows[r]);
      parts[r] = Vectors::Zero();
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const uint32_t lanes = bits >> (v * kLanes);
        if constexpr (kWantsRows) parts[r] = Vectors::MultiplyAddWhere(lanes, grad[r][v], w[v], parts[r]);
        if constexpr (kWantsColumns) sums[v] = Vectors::MultiplyAddWhere(lanes, grad[r][v], x, sums[v]);
      }
    }
    if constexpr (kWantsRows) Vectors::template AddSums<kRows>(parts, args.grad_rows + k * kRowPanel + row);
    if constexpr (kWantsColumns) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) Vectors::Store(args.grad_columns + at + v * kLanes, sums[v]);
    }
  }
}

template <class Vectors, int kRows, int kVectors>
inline void GradientBlockFor(const GradientArgs& args, int row, int column, int rows, int vectors) {
  if constexpr (kVectors > 1) {
    if (vectors <= kVectors / 2) {
      return GradientBlockFor<Vectors, kRows, kVectors / 2>(args, row, column, rows, vectors);
    }
  }
  if constexpr (kRows > 1) {
    if (rows == 1) return GradientBlockFor<Vectors, 1, kVectors>(args, row, column, rows, vectors);
  }
  if (args.grad_rows == nullptr) return GradientBlock<Vectors, kRows, kVectors, false, true>(args, row, column);
  if (args.grad_columns == nullptr) return GradientBlock<Vectors, kRows, kVectors, true, false>(args, row, column);
  GradientBlock<Vectors, kRows, kVectors, true, true>(args, row, column);
}

template <class Vectors>
void TileGradients(const GradientArgs& args) {
  constexpr int kColumns = Vectors::kVectors * Vectors::kLanes;
  for (int column = 0; column < args.column_count; column += kColumns) {
    const int columns = std::min(args.column_count - column, kColumns);
    const int vectors = (columns + Vectors::kLanes - 1) / Vectors::kLanes;
    for (int row = 0; row < args.row_count; row += Vectors::kRows) {
      const int rows = std::min(args.row_count - row, Vectors::kRows);
      GradientBlockFor<Vectors, Vectors::kRows, Vectors::kVectors>(args, row, column, rows, vectors);
    }
  }
}

// Four values at a time, whatever the instruction set.
struct PortableVectors {
  typedef float V __attribute__((vector_size(16)));
  typedef int32_t Bits __attribute__((vector_size(16)));
  static constexpr int kLanes = 4, kRows = 4, kVectors = 2;

  static V Zero() { return V{}; }
  static V Load(const float* p) {
    V value;
    std::memcpy(&value, p, sizeof value);
    return value;
  }
  static V Set(float value) { return V{value, value, value, value}; }
  static void Store(float* p, V value) { std::memcpy(p, &value, sizeof value); }
  static V MultiplyAddWhere(uint32_t bits, V a, V b, V sum) {
    const Bits lane = {1, 2, 4, 8};
    const int32_t all = static_cast<int32_t>(bits);
    const Bits is_open = (Bits{all, all, all, all} & lane) == lane;
    return sum + reinterpret_cast<V>(reinterpret_cast<Bits>(a * b) & is_open);
  }
  template <int kRows>
  static void AddSums(const V (&vectors)[kRows], float* out) {
    for (int r = 0; r < kRows; ++r) {
      const V& v = vectors[r];
      out[r] += (v[0] + v[2]) + (v[1] + v[3]);
    }
  }
};

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_GRADIENT_KERNEL_H_
