// The dot product loop, written once for all CPU paths. An Arithmetic brings a vector type V of kLanes values and
//   Zero, Load, Broadcast    from float32 operands
//   Step(s, x, w)            s <- Q_acc(Q_prod(x * w) + s)
//   Join(total, s)           total <- Q_acc(total + s)
//   Store(out, total)        to float32, zeros positive
// and the tile that keeps its registers busy: kRows x kVectors; kDirectVectors for one row.
// Include it only from the tile_<path>.cc files, each of which is compiled for its own instruction set.
#ifndef LBA_CPU_TILE_KERNEL_H_
#define LBA_CPU_TILE_KERNEL_H_

#include <algorithm>
#include <cstring>

#include "cpu/tile.h"

namespace lba {
namespace {  // each instruction set has its own copy

// The partial sums of one chunk: kRows broadcast vectors, rows[k * row_step + r], and kVectors * kLanes columns at
// column(k), begin <= k < end.
template <class Arithmetic, int kRows, int kVectors, class Column>
inline void SumChunk(const Arithmetic& arithmetic, const float* rows, int64_t row_step, const Column& column,
                     int64_t begin, int64_t end, typename Arithmetic::V (&sums)[kRows][kVectors]) {
  using V = typename Arithmetic::V;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[r][v] = Arithmetic::Zero();
  }
  for (int64_t k = begin; k < end; ++k) {
    const float* values = column(k);
    V w[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) w[v] = Arithmetic::Load(values + v * Arithmetic::kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const V x = Arithmetic::Broadcast(rows + k * row_step + r);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[r][v] = arithmetic.Step(sums[r][v], x, w[v]);
    }
  }
}

// The dot products over the whole depth.
template <class Arithmetic, int kRows, int kVectors, class Column>
inline void DotBlock(const Arithmetic& arithmetic, const float* rows, int64_t row_step, const Column& column,
                     int64_t depth, int64_t chunk, float* out, int64_t out_step) {
  using V = typename Arithmetic::V;
  V totals[kRows][kVectors];
  // Q_acc(0 + s) = s: the first chunk's sum is a value of the format already.
  SumChunk(arithmetic, rows, row_step, column, 0, std::min(chunk, depth), totals);
  for (int64_t begin = chunk; begin < depth; begin += chunk) {
    V sums[kRows][kVectors];
    SumChunk(arithmetic, rows, row_step, column, begin, std::min(begin + chunk, depth), sums);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) totals[r][v] = arithmetic.Join(totals[r][v], sums[r][v]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) arithmetic.Store(out + r * out_step + v * Arithmetic::kLanes, totals[r][v]);
  }
}

// Rows and vectors are template arguments so that sums stay in registers; this finds the block for run-time counts.
template <class Arithmetic, int kRows, int kVectors>
inline void TileBlock(const Arithmetic& arithmetic, const TileArgs& args, int row, int column, int rows, int vectors) {
  if constexpr (kVectors > 1) {
    if (vectors < kVectors) {
      return TileBlock<Arithmetic, kRows, kVectors - 1>(arithmetic, args, row, column, rows, vectors);
    }
  }
  if constexpr (kRows > 1) {
    if (rows < kRows) {
      return TileBlock<Arithmetic, kRows - 1, kVectors>(arithmetic, args, row, column, rows, vectors);
    }
  }
  const float* columns = args.columns + column;
  DotBlock<Arithmetic, kRows, kVectors>(
      arithmetic, args.rows + row, kRowPanel, [columns](int64_t k) { return columns + k * kColumnPanel; }, args.depth,
      args.chunk, args.out + row * kColumnPanel + column, kColumnPanel);
}

template <class Arithmetic>
void RunTile(const TileArgs& args) {
  const Arithmetic arithmetic(*args.constants);
  constexpr int kColumns = Arithmetic::kVectors * Arithmetic::kLanes;
  for (int column = 0; column < args.column_count; column += kColumns) {
    const int columns = std::min(args.column_count - column, kColumns);
    const int vectors = (columns + Arithmetic::kLanes - 1) / Arithmetic::kLanes;
    for (int row = 0; row < args.row_count; row += Arithmetic::kRows) {
      const int rows = std::min(args.row_count - row, Arithmetic::kRows);
      TileBlock<Arithmetic, Arithmetic::kRows, Arithmetic::kVectors>(arithmetic, args, row, column, rows, vectors);
    }
  }
}

template <class Arithmetic, int kVectors>
inline void DirectBlock(const Arithmetic& arithmetic, const DirectArgs& args, int64_t q) {
  const float* plane = args.plane + q;
  const int64_t* offsets = args.offsets;
  DotBlock<Arithmetic, 1, kVectors>(
      arithmetic, args.weights, 1, [plane, offsets](int64_t k) { return plane + offsets[k]; }, args.depth, args.chunk,
      args.out + q, 0);
}

template <class Arithmetic>
void RunDirect(const DirectArgs& args) {
  static_assert(kDirectRounding % Arithmetic::kLanes == 0, "a vector may not pass the rounded count");
  const Arithmetic arithmetic(*args.constants);
  constexpr int64_t kStep = Arithmetic::kDirectVectors * Arithmetic::kLanes;
  int64_t q = 0;
  for (; q + kStep <= args.count; q += kStep) DirectBlock<Arithmetic, Arithmetic::kDirectVectors>(arithmetic, args, q);
  for (; q < args.count; q += Arithmetic::kLanes) DirectBlock<Arithmetic, 1>(arithmetic, args, q);
}

// The kernels of a scaled float32 Arithmetic for every variant, in the order of TileVariant::index().
template <template <ProductStep, bool> class Arithmetic>
TileKernels MakeScaledKernels(CpuPath path) {
  using S = ProductStep;
  return TileKernels{
      path,
      FpMode::kTowardZeroFlush,
      {RunTile<Arithmetic<S::kFused, false>>, RunTile<Arithmetic<S::kFused, true>>,
       RunTile<Arithmetic<S::kExact, false>>, RunTile<Arithmetic<S::kExact, true>>,
       RunTile<Arithmetic<S::kTruncate, false>>, RunTile<Arithmetic<S::kTruncate, true>>,
       RunTile<Arithmetic<S::kSaturate, false>>, RunTile<Arithmetic<S::kSaturate, true>>},
      {RunDirect<Arithmetic<S::kFused, false>>, RunDirect<Arithmetic<S::kFused, true>>,
       RunDirect<Arithmetic<S::kExact, false>>, RunDirect<Arithmetic<S::kExact, true>>,
       RunDirect<Arithmetic<S::kTruncate, false>>, RunDirect<Arithmetic<S::kTruncate, true>>,
       RunDirect<Arithmetic<S::kSaturate, false>>, RunDirect<Arithmetic<S::kSaturate, true>>}};
}

// The kernels of an Arithmetic that always takes every step.
template <class Arithmetic>
TileKernels MakeDoubleKernels(CpuPath path, FpMode mode) {
  TileKernels kernels{path, mode, {}, {}};
  std::fill(kernels.tile, kernels.tile + kTileVariants, RunTile<Arithmetic>);
  std::fill(kernels.direct, kernels.direct + kTileVariants, RunDirect<Arithmetic>);
  return kernels;
}

template <int kWidth>
ValueRange ScalePanelOfWidth(float* panel, int64_t depth, int64_t chunk, float scale) {
  uint32_t max_bits[kWidth] = {}, any_bits[kWidth] = {}, min_bits_less_one[kWidth];
  float max_squares[kWidth] = {};
  std::fill(min_bits_less_one, min_bits_less_one + kWidth, 0xffffffffu);
  for (int64_t begin = 0; begin < depth; begin += chunk) {
    const int64_t end = std::min(begin + chunk, depth);
    float squares[kWidth] = {};
    for (int64_t k = begin; k < end; ++k) {
      float* values = panel + k * kWidth;
      for (int j = 0; j < kWidth; ++j) {
        uint32_t bits;
        std::memcpy(&bits, values + j, sizeof bits);
        const uint32_t magnitude = bits & 0x7fffffffu;
        max_bits[j] = std::max(max_bits[j], magnitude);
        min_bits_less_one[j] = std::min(min_bits_less_one[j], magnitude - 1);
        any_bits[j] |= bits;
        squares[j] += values[j] * values[j];
        values[j] *= scale;
      }
    }
    for (int j = 0; j < kWidth; ++j) max_squares[j] = std::max(max_squares[j], squares[j]);
  }
  ValueRange range;
  for (int j = 0; j < kWidth; ++j) {
    range.Merge(ValueRange{max_bits[j], min_bits_less_one[j], any_bits[j], max_squares[j]});
  }
  return range;
}

inline ValueRange ScalePanel(float* panel, int64_t depth, int width, int64_t chunk, float scale) {
  if (width == kColumnPanel) return ScalePanelOfWidth<kColumnPanel>(panel, depth, chunk, scale);
  if (width == kRowPanel) return ScalePanelOfWidth<kRowPanel>(panel, depth, chunk, scale);
  return ScalePanelOfWidth<1>(panel, depth, chunk, scale);
}

}  // namespace
}  // namespace lba

#endif  // LBA_CPU_TILE_KERNEL_H_
