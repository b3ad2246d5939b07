// The product loop of a block: one tile of dot products in registers, operands copied to shared memory in stages ahead
// of the arithmetic. Chunks are the arithmetic's own: stages may cut them anywhere.
#ifndef LBA_KERNELS_CUDA_TILE_H_
#define LBA_KERNELS_CUDA_TILE_H_

#include <cuda_runtime.h>

#include <type_traits>

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/operand.h"
#include "kernels/cuda/outer_sums.h"
#include "kernels/cuda/tile_plan.h"
#include "kernels/cuda/tile_shape.h"

namespace lba::cuda {

// Where a thread's outputs lie in the tile.
template <class Shape>
struct ThreadPlace {
  int row, column;  // of the first output

  __device__ ThreadPlace() {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    row = warp / Shape::kWarpColumns * Shape::kWarpTileRows + lane / Shape::kLaneColumns * Shape::kRowGroup;
    column = warp % Shape::kWarpColumns * Shape::kWarpTileColumns + lane % Shape::kLaneColumns * Shape::kColumnGroup;
  }
  // Of output r (or c) of the thread: groups of neighbours lie a warp's width apart.
  __device__ int Row(int r) const {
    return row + r / Shape::kRowGroup * Shape::kRowGroup * Shape::kLaneRows + r % Shape::kRowGroup;
  }
  __device__ int Column(int c) const {
    return column + c / Shape::kColumnGroup * Shape::kColumnGroup * Shape::kLaneColumns + c % Shape::kColumnGroup;
  }
};

template <class Shape>
struct alignas(16) Stage {
  float rows[kStageDepth][Shape::kRows];
  float columns[kStageDepth][Shape::kColumns];
};

// Copies kWidth vectors of a packed operand, from vector `first` on, into stages.
template <int kWidth, int kThreads>
class PanelCopy {
 public:
  // Vectors past the last panel repeat it; their outputs are not stored.
  __device__ PanelCopy(const PackedOperand& operand, int64_t matrix, int64_t first) {
    const int64_t panel_floats = operand.padded_depth * kPanelWidth;
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      const int64_t vector = first + VectorOf(i);
      const int64_t panel = std::min(vector / kPanelWidth, operand.panels - 1);
      from_[i] = operand.Panel(matrix, 0) + panel * panel_floats + DepthOf(i) * kPanelWidth + vector % kPanelWidth;
    }
  }

  // The next stage, kStageDepth deeper at each call.
  __device__ void Copy(float (&to)[kStageDepth][kWidth]) {
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      if (kIsWhole || DepthOf(i) < kStageDepth) CopyAsync16(&to[DepthOf(i)][VectorOf(i)], from_[i]);
      from_[i] += kStageDepth * kPanelWidth;
    }
  }

 private:
  static constexpr int kFours = kStageDepth * kWidth / 4;
  static constexpr int kCopies = (kFours + kThreads - 1) / kThreads;
  static constexpr bool kIsWhole = kFours % kThreads == 0;

  __device__ static int DepthOf(int i) { return (i * kThreads + static_cast<int>(threadIdx.x)) / (kWidth / 4); }
  __device__ static int VectorOf(int i) { return (i * kThreads + static_cast<int>(threadIdx.x)) % (kWidth / 4) * 4; }

  const float* from_[kCopies];
};

// kCount values of a stage's row, in groups of kGroup neighbours that lie kStride apart.
template <int kCount, int kGroup, int kStride>
__device__ __forceinline__ void LoadFragment(const float* from, float (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; i += kGroup) {
    if constexpr (kGroup == 4) {
      const float4 four = *reinterpret_cast<const float4*>(from + i / kGroup * kStride);
      values[i] = four.x;
      values[i + 1] = four.y;
      values[i + 2] = four.z;
      values[i + 3] = four.w;
    } else {
      values[i] = from[i / kGroup * kStride];
    }
  }
}

template <class Shape, class Arithmetic, class Outer>
class TileSums {
 public:
  __device__ TileSums(const Arithmetic& arithmetic, int chunk, Outer* outer)
      : arithmetic_(arithmetic), outer_(outer), chunk_(chunk) {
    left_ = chunk;
#pragma unroll
    for (int r = 0; r < Shape::kThreadRows; ++r) {
#pragma unroll
      for (int c = 0; c < Shape::kThreadColumns; ++c) totals_[r][c] = sums_[r][c] = 0;
    }
  }

  // The first `depths` depths of a stage.
  __device__ __forceinline__ void Add(const Stage<Shape>& stage, int depths) {
    for (int k = 0; k < depths;) {
      const int end = left_ < depths - k ? k + left_ : depths;
      left_ -= end - k;
      for (; k + kUnrolled <= end; k += kUnrolled) {
#pragma unroll
        for (int i = 0; i < kUnrolled; ++i) Step(stage, k + i);
      }
      for (; k < end; ++k) Step(stage, k);
      if (left_ == 0) EndChunk();
    }
  }

  __device__ void Finish() {
    if (left_ != chunk_) EndChunk();
    outer_->Finish(totals_);
  }
  __device__ float Total(int r, int c) const { return totals_[r][c]; }

 private:
  static constexpr int kUnrolled = 4;

  __device__ __forceinline__ void Step(const Stage<Shape>& stage, int k) {
    float x[Shape::kThreadRows], w[Shape::kThreadColumns];
    LoadFragment<Shape::kThreadRows, Shape::kRowGroup, Shape::kRowGroup * Shape::kLaneRows>(&stage.rows[k][place_.row],
                                                                                            x);
    LoadFragment<Shape::kThreadColumns, Shape::kColumnGroup, Shape::kColumnGroup * Shape::kLaneColumns>(
        &stage.columns[k][place_.column], w);
#pragma unroll
    for (int r = 0; r < Shape::kThreadRows; ++r) {
#pragma unroll
      for (int c = 0; c < Shape::kThreadColumns; ++c) sums_[r][c] = arithmetic_.Step(sums_[r][c], x[r], w[c]);
    }
  }

  __device__ __forceinline__ void EndChunk() {
    left_ = chunk_;
#pragma unroll
    for (int r = 0; r < Shape::kThreadRows; ++r) {
#pragma unroll
      for (int c = 0; c < Shape::kThreadColumns; ++c) {
        totals_[r][c] = arithmetic_.Join(totals_[r][c], sums_[r][c]);
        sums_[r][c] = 0;
      }
    }
    outer_->EndChunk(arithmetic_, totals_);
  }

  const Arithmetic arithmetic_;
  const ThreadPlace<Shape> place_;
  Outer* const outer_;
  const int chunk_;
  int left_;  // products until the chunk is full
  // Of a chunk, and of chunks.
  float sums_[Shape::kThreadRows][Shape::kThreadColumns], totals_[Shape::kThreadRows][Shape::kThreadColumns];
};

// The stages of both operands, a few ahead of the arithmetic. Rows and Columns have Copy(stage array), which queues
// this thread's part of the next stage.
template <class Shape, class Rows, class Columns>
class StageCopies {
 public:
  // Queues the first stages.
  __device__ StageCopies(Stage<Shape> (&stages)[Shape::kStages], int64_t depth, const Rows& rows,
                         const Columns& columns)
      : stages_(stages), count_(CeilDiv(depth, kStageDepth)), rows_(rows), columns_(columns) {
#pragma unroll
    for (int s = 0; s < Shape::kStages - 1; ++s) Queue(s);
  }

  __device__ int64_t count() const { return count_; }
  // The next stage, for all threads to read until the next call.
  __device__ __forceinline__ const Stage<Shape>& Next() {
    WaitForCopies<Shape::kStages - 2>();
    __syncthreads();  // shows the copies of all threads; and all are done with the slot before this one
    Queue(slot_ == 0 ? Shape::kStages - 1 : slot_ - 1);
    const Stage<Shape>& stage = stages_[slot_];
    slot_ = slot_ + 1 == Shape::kStages ? 0 : slot_ + 1;
    return stage;
  }
  // For a block that will not read the stages.
  __device__ void Abandon() const { WaitForCopies<0>(); }

 private:
  __device__ __forceinline__ void Queue(int slot) {
    if (queued_ < count_) {
      rows_.Copy(stages_[slot].rows);
      columns_.Copy(stages_[slot].columns);
    }
    ++queued_;
    CommitCopies();  // an empty group where nothing is left, so that waits count the same
  }

  Stage<Shape> (&stages_)[Shape::kStages];
  const int64_t count_;
  int64_t queued_ = 0;
  int slot_ = 0;  // of the next stage
  Rows rows_;
  Columns columns_;
};

// The dot products of a thread's outputs, as the caller sees them.
template <class Shape>
using ThreadTotals = float[Shape::kThreadRows][Shape::kThreadColumns];

// `kernel` is any but the kind's kExact.
template <class Shape, class Kind, class Copies>
__device__ __forceinline__ void ComputeTotals(int kernel, const Kind& kind, int64_t depth, Copies& copies,
                                              ThreadTotals<Shape>& totals) {
  kind.WithSteps(kernel, [&](const auto& arithmetic) {
    using Outer = OuterSums<Kind::kOuterSums, Shape::kThreadRows, Shape::kThreadColumns>;
    Outer outer(kind.order(), depth);
    TileSums<Shape, std::decay_t<decltype(arithmetic)>, Outer> sums(arithmetic, static_cast<int>(kind.chunk()), &outer);
    for (int64_t stage = 0; stage < copies.count(); ++stage) {
      const int64_t left = depth - stage * kStageDepth;
      sums.Add(copies.Next(), left < kStageDepth ? static_cast<int>(left) : kStageDepth);
    }
    sums.Finish();
#pragma unroll
    for (int r = 0; r < Shape::kThreadRows; ++r) {
#pragma unroll
      for (int c = 0; c < Shape::kThreadColumns; ++c) totals[r][c] = sums.Total(r, c);
    }
  });
#pragma unroll
  for (int r = 0; r < Shape::kThreadRows; ++r) {
#pragma unroll
    for (int c = 0; c < Shape::kThreadColumns; ++c) totals[r][c] = kind.Unscaled(totals[r][c]);
  }
}

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_TILE_H_
