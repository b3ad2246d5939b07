// The dot product loop, written once for all CPU paths. An Arithmetic brings a vector type V of kLanes values and
//   Zero, Load               from float32 operands
//   Step(s, x, w)            s[v] <- Q_acc(Q_prod(*x * w[v]) + s[v]) for the vectors of a row
//   Join(total, s)           total <- Q_acc(total + s)
//   Store(out, total)        to float32, zeros positive
// and the tile that keeps its registers busy: kRows x kVectors; kDirectVectors for one row; and Half, the same
// arithmetic with vectors of half the length, or void. It is made from its Constants. Include it only from files that
// are compiled for one instruction set.
#ifndef LBA_KERNELS_CPU_TILE_KERNEL_H_
#define LBA_KERNELS_CPU_TILE_KERNEL_H_

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/tile.h"

namespace lba {
namespace {  // each instruction set has its own copy

template <class Arithmetic>
Arithmetic ArithmeticOf(const void* constants) {
  return Arithmetic(*static_cast<const typename Arithmetic::Constants*>(constants));
}

// Calls function(i) for i < kCount, unrolled: the arrays that it reads and writes become registers.
template <int kCount, class Function>
inline void ForEach(const Function& function) {
#pragma GCC unroll 8
  for (int i = 0; i < kCount; ++i) function(i);
}

// The partial sums of one chunk: kRows broadcast vectors, rows[k * row_step + r], and kVectors * kLanes columns at
// column(k), begin <= k < end.
template <class Arithmetic, int kRows, int kVectors, class Column>
inline void SumChunk(const Arithmetic& arithmetic, const float* rows, int64_t row_step, const Column& column,
                     int64_t begin, int64_t end, typename Arithmetic::V (&sums)[kRows][kVectors]) {
  using V = typename Arithmetic::V;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    ForEach<kVectors>([&](int v) { sums[r][v] = Arithmetic::Zero(); });
  }
  for (int64_t k = begin; k < end; ++k) {
    const float* values = column(k);
    V w[kVectors];
    ForEach<kVectors>([&](int v) { w[v] = Arithmetic::Load(values + v * Arithmetic::kLanes); });
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) arithmetic.Step(sums[r], rows + k * row_step + r, w);
  }
}

// The dot products over the whole depth. Flattened: a step that is called keeps its sums in memory.
template <class Arithmetic, int kRows, int kVectors, class Column>
[[gnu::flatten]] inline void DotBlock(const Arithmetic& arithmetic, const float* rows, int64_t row_step,
                                      const Column& column, int64_t depth, int64_t chunk, float* out,
                                      int64_t out_step) {
  using V = typename Arithmetic::V;
  V totals[kRows][kVectors];
  // Q_acc(0 + s) = s: the first chunk's sum is a value of the format already.
  SumChunk(arithmetic, rows, row_step, column, 0, std::min(chunk, depth), totals);
  for (int64_t begin = chunk; begin < depth; begin += chunk) {
    V sums[kRows][kVectors];
    SumChunk(arithmetic, rows, row_step, column, begin, std::min(begin + chunk, depth), sums);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      ForEach<kVectors>([&](int v) { totals[r][v] = arithmetic.Join(totals[r][v], sums[r][v]); });
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    ForEach<kVectors>([&](int v) { arithmetic.Store(out + r * out_step + v * Arithmetic::kLanes, totals[r][v]); });
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
void RunWholeVectors(const TileArgs& args) {
  const Arithmetic arithmetic = ArithmeticOf<Arithmetic>(args.constants);
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

// The last columns go to vectors of half the length where these hold them: images of 7 x 7 leave 1 of 49.
template <class Arithmetic>
void RunTile(const TileArgs& args) {
  TileArgs whole = args;
  if constexpr (!std::is_void_v<typename Arithmetic::Half>) {
    const int rest = args.column_count % Arithmetic::kLanes;
    if (rest > 0 && rest <= Arithmetic::Half::kLanes) {
      whole.column_count -= rest;
      TileArgs half = args;
      half.columns += whole.column_count;
      half.out += whole.column_count;
      half.column_count = rest;
      RunWholeVectors<typename Arithmetic::Half>(half);
    }
  }
  RunWholeVectors<Arithmetic>(whole);
}

template <class Arithmetic, int kVectors>
inline void DirectBlock(const Arithmetic& arithmetic, const DirectArgs& args, int64_t q) {
  const float* plane = args.plane + q;
  const int64_t* offsets = args.offsets;
  DotBlock<Arithmetic, 1, kVectors>(
      arithmetic, args.weights, 1, [plane, offsets](int64_t k) { return plane + offsets[k]; }, args.depth, args.chunk,
      args.out + q, 0);
}

// Blocks of kVectors vectors while they last, then of half as many: few vectors hide less of the additions' latency.
template <class Arithmetic, int kVectors>
inline void DirectBlocks(const Arithmetic& arithmetic, const DirectArgs& args, int64_t q) {
  constexpr int64_t kStep = kVectors * Arithmetic::kLanes;
  const int64_t rounded = (args.count + Arithmetic::kLanes - 1) / Arithmetic::kLanes * Arithmetic::kLanes;
  for (; q + kStep <= rounded; q += kStep) DirectBlock<Arithmetic, kVectors>(arithmetic, args, q);
  if constexpr (kVectors > 1) DirectBlocks<Arithmetic, kVectors / 2>(arithmetic, args, q);
}

template <class Arithmetic>
void RunDirect(const DirectArgs& args) {
  static_assert(kDirectRounding % Arithmetic::kLanes == 0, "a vector may not pass the rounded count");
  DirectBlocks<Arithmetic, Arithmetic::kDirectVectors>(ArithmeticOf<Arithmetic>(args.constants), args, 0);
}

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_TILE_KERNEL_H_
