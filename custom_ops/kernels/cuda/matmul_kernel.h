// The kernel of matrix products, for any kind and shape of tile.
#ifndef LBA_KERNELS_CUDA_MATMUL_KERNEL_H_
#define LBA_KERNELS_CUDA_MATMUL_KERNEL_H_

#include <algorithm>

#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/product_parts.h"
#include "kernels/cuda/tile.h"
#include "kernels/cuda/tile_plan.h"

namespace lba::cuda {
namespace products {

template <class Kind>
struct MatMulArgs {
  Kind kind;
  MatrixSource row_source, column_source;
  StridedIndex row_matrices, column_matrices;
  Output output;
  int64_t addend_row_stride, addend_column_stride;
  PackedOperand rows{}, columns{};
  int64_t row_tiles = 0, column_tiles = 0;
  unsigned long long* counters = nullptr;
};

// Which tile a block computes.
struct Place {
  int64_t entry, row, column;  // of the batch; first row and column
  int64_t row_matrix, column_matrix;

  template <class Kind, class Shape>
  __device__ Place(const MatMulArgs<Kind>& args, Shape) {
    const uint32_t row_tiles = static_cast<uint32_t>(args.row_tiles);  // 32 bits divide faster
    const uint32_t column_tiles = static_cast<uint32_t>(args.column_tiles);
    const uint32_t tile_row = blockIdx.x / column_tiles;
    entry = tile_row / row_tiles;
    row = int64_t{tile_row % row_tiles} * Shape::kRows;
    column = int64_t{blockIdx.x % column_tiles} * Shape::kColumns;
    row_matrix = args.row_matrices(entry);
    column_matrix = args.column_matrices(entry);
  }
};

// Neighbours in a row, from a column on; what lies outside is left out.
template <int kCount, class Kind>
__device__ void Store(const MatMulArgs<Kind>& args, const Place& place, int64_t row, int64_t column,
                      const float (&dots)[kCount]) {
  const int64_t rows = args.row_source.vectors, columns = args.column_source.vectors;
  if (row >= rows || column >= columns) return;
  float values[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const int64_t inside = std::min(column + i, columns - 1);
    values[i] = args.output.Finish(dots[i], row * args.addend_row_stride + inside * args.addend_column_stride);
  }
  args.output.Store((place.entry * rows + row) * columns + column, values, columns - column);
}

template <class Shape, class Kind>
__device__ void ComputeExact(const MatMulArgs<Kind>& args, const Place& place) {
  const int64_t row_offset = args.row_source.matrices(place.row_matrix);
  const int64_t column_offset = args.column_source.matrices(place.column_matrix);
  for (int i = threadIdx.x; i < Shape::kRows * Shape::kColumns; i += Shape::kThreads) {
    const int64_t row = place.row + i / Shape::kColumns, column = place.column + i % Shape::kColumns;
    if (row >= args.row_source.vectors || column >= args.column_source.vectors) continue;
    const auto read = [&](int64_t k, float* x, float* w) {
      *x = args.row_source.Read(row_offset, row, k);
      *w = args.column_source.Read(column_offset, column, k);
    };
    const float dots[1] = {args.kind.Dot(args.row_source.depth, read)};
    Store(args, place, row, column, dots);
  }
}

template <class Shape, class Kind>
__device__ __forceinline__ void StoreTotals(const MatMulArgs<Kind>& args, const Place& place,
                                            const ThreadTotals<Shape>& totals) {
  const ThreadPlace<Shape> mine;
#pragma unroll
  for (int r = 0; r < Shape::kThreadRows; ++r) {
#pragma unroll
    for (int c = 0; c < Shape::kThreadColumns; c += Shape::kColumnGroup) {
      float dots[Shape::kColumnGroup];
#pragma unroll
      for (int i = 0; i < Shape::kColumnGroup; ++i) dots[i] = totals[r][c + i];
      Store(args, place, place.row + mine.Row(r), place.column + mine.Column(c), dots);
    }
  }
}

// The kernel for a tile; tells the counters.
template <class Shape, class Kind>
__device__ int Plan(const MatMulArgs<Kind>& args, const Place& place) {
  const TileRange rows = RangeOf(args.rows, place.row_matrix, place.row, Shape::kRows);
  const TileRange columns = RangeOf(args.columns, place.column_matrix, place.column, Shape::kColumns);
  const int kernel = args.kind.KernelFor(rows, columns, args.rows.whole->Read(), args.columns.whole->Read());
  atomicAdd(args.counters + kernel, 1ull);
  return kernel;
}

template <class Kind, class Shape>
__global__ void __launch_bounds__(Shape::kThreads, kSharingBlocks<Kind, Shape>)
    MatMulKernel(const __grid_constant__ MatMulArgs<Kind> args) {
  using Rows = PanelCopy<Shape::kRows, Shape::kThreads>;
  using Columns = PanelCopy<Shape::kColumns, Shape::kThreads>;
  __shared__ Stage<Shape> stages[Shape::kStages];
  __shared__ int planned;
  const Place place(args, Shape());
  StageCopies<Shape, Rows, Columns> copies(stages, args.row_source.depth, Rows(args.rows, place.row_matrix, place.row),
                                           Columns(args.columns, place.column_matrix, place.column));
  if (threadIdx.x == 0) planned = Plan<Shape>(args, place);
  __syncthreads();
  const int kernel = planned;
  if (kernel == Kind::kExact) {
    copies.Abandon();
    return ComputeExact<Shape>(args, place);
  }
  ThreadTotals<Shape> totals;
  ComputeTotals<Shape>(kernel, args.kind, args.row_source.depth, copies, totals);
  StoreTotals<Shape>(args, place, totals);
}

}  // namespace products

template <class Kind>
void RunMatMul(const Kind& kind, const MatMulProblem& problem, const PackedOperand* packed, void* memory,
               cudaStream_t stream) {
  using namespace products;
  if (problem.outputs() == 0) return;
  Workspace workspace(memory);
  const MatMulParts parts(problem, packed != nullptr, &workspace, stream);
  MatMulArgs<Kind> args{kind,
                        problem.rows,
                        problem.columns,
                        problem.row_matrices,
                        problem.column_matrices,
                        problem.output,
                        problem.addend_row_stride,
                        problem.addend_column_stride};
  args.columns = packed != nullptr
                     ? *packed
                     : Pack(kind, problem.columns, nullptr, parts.column_facts, parts.column_values, stream);
  args.rows = Pack(kind, problem.rows, args.columns.whole, parts.row_facts, parts.row_values, stream);
  args.counters = KernelCounters();
  const TileChoice choice =
      ChooseTile(problem.batch(), problem.rows.vectors, problem.columns.vectors, Multiprocessors());
  WithTileOf<Kind>(choice, [&](auto shape) {
    using Shape = decltype(shape);
    args.row_tiles = CeilDiv(problem.rows.vectors, Shape::kRows);
    args.column_tiles = CeilDiv(problem.columns.vectors, Shape::kColumns);
    Launch(MatMulKernel<Kind, Shape>, problem.batch() * args.row_tiles * args.column_tiles, Shape::kThreads, stream,
           args);
  });
}

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_MATMUL_KERNEL_H_
