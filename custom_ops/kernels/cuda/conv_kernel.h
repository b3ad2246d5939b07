// The kernel of convolutions in tiles, for any kind and shape of tile.
#ifndef LBA_KERNELS_CUDA_CONV_KERNEL_H_
#define LBA_KERNELS_CUDA_CONV_KERNEL_H_

#include "kernels/cuda/conv.h"
#include "kernels/cuda/conv_args.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/product_parts.h"
#include "kernels/cuda/tile.h"

namespace lba::cuda {
namespace convolutions {

// Copies kWidth patches, from the column `first` on, into stages. Each thread copies values of one patch: neighbours in
// a warp read neighbours in the image.
template <int kWidth, int kThreads>
class PatchCopy {
 public:
  // Columns past the last read some other patch; their outputs are not stored.
  __device__ PatchCopy(const PatchGeometry& geometry, const Patches& patches, int64_t group, const BoxStart& first)
      : offset_bytes_(patches.offset_bytes + threadIdx.x / kWidth) {
    const BoxPoint output = geometry.outputs.Find(first, static_cast<int>(threadIdx.x % kWidth));
    const int64_t corner = output.box < geometry.batch ? geometry.Corner(output) : 0;
    corner_ = reinterpret_cast<const char*>(patches.planes + geometry.GroupOffset(group) + corner);
  }

  // The next stage, kStageDepth deeper at each call.
  __device__ void Copy(float (&to)[kStageDepth][kWidth]) {
#pragma unroll
    for (int i = 0; i < kCopies; ++i) {
      CopyAsync4(&to[i * kDepths + threadIdx.x / kWidth][threadIdx.x % kWidth], corner_ + offset_bytes_[i * kDepths]);
    }
    offset_bytes_ += kStageDepth;
  }

 private:
  static_assert(kThreads % kWidth == 0 && kThreads / kWidth <= kStageDepth, "each thread has one patch");
  static constexpr int kDepths = kThreads / kWidth;  // that the block copies at once
  static constexpr int kCopies = kStageDepth / kDepths;

  const char* corner_;
  const uint32_t* offset_bytes_;
};

// Which tile a block computes. Tiles of the same patches follow each other: the patches stay in the cache.
struct Place {
  int64_t group, row, column;  // first filter and output position

  template <class Kind, class Shape>
  __device__ Place(const ConvArgs<Kind>& args, Shape) {
    const uint32_t row_tiles = static_cast<uint32_t>(args.row_tiles);  // 32 bits divide faster
    const uint32_t column_tiles = static_cast<uint32_t>(args.column_tiles);
    const uint32_t tile_column = blockIdx.x / row_tiles;
    row = int64_t{blockIdx.x % row_tiles} * Shape::kRows;
    column = int64_t{tile_column % column_tiles} * Shape::kColumns;
    group = tile_column / column_tiles;
  }
};

template <class Shape, class Kind>
__device__ void ComputeExact(const ConvArgs<Kind>& args, const Place& place) {
  for (int i = threadIdx.x; i < Shape::kRows * Shape::kColumns; i += Shape::kThreads) {
    const int64_t row = place.row + i / Shape::kColumns, column = place.column + i % Shape::kColumns;
    if (row < args.geometry.filters && column < args.geometry.columns()) args.StoreExact(place.group, row, column);
  }
}

// A thread's outputs, kGroup neighbours of a sample at a time.
template <int kGroup, class Shape, class Kind>
__device__ __forceinline__ void StoreTotals(const ConvArgs<Kind>& args, const Place& place, const BoxStart& first,
                                            const ThreadTotals<Shape>& totals) {
  const ThreadPlace<Shape> mine;
  const int64_t filter = place.row + mine.row, filters_left = args.geometry.filters - filter;
#pragma unroll
  for (int c = 0; c < Shape::kThreadColumns; c += kGroup) {
    const BoxPoint output = args.geometry.outputs.Find(first, mine.Column(c));
    if (output.box >= args.geometry.batch) continue;
    const OutputPlace stored = args.PlaceOf(place.group, filter, output.box, output.point);
#pragma unroll
    for (int r = 0; r < Shape::kThreadRows; ++r) {
      const int step = mine.Row(r) - mine.row;
      if (step >= filters_left) continue;
      float values[kGroup];
#pragma unroll
      for (int i = 0; i < kGroup; ++i) values[i] = args.output.Finish(totals[r][c + i], stored.channel + step);
      args.output.Store(stored.index + step * args.geometry.outputs.size, values, kGroup);
    }
  }
}

template <class Kind, class Shape>
__global__ void __launch_bounds__(Shape::kThreads, kSharingBlocks<Kind, Shape>)
    ConvKernel(const __grid_constant__ ConvArgs<Kind> args) {
  using Rows = PanelCopy<Shape::kRows, Shape::kThreads>;
  using Columns = PatchCopy<Shape::kColumns, Shape::kThreads>;
  __shared__ Stage<Shape> stages[Shape::kStages];
  const Place place(args, Shape());
  const int kernel = args.KernelFor(place.group, place.row, Shape::kRows, place.column, Shape::kColumns);
  if (kernel == Kind::kExact) return ComputeExact<Shape>(args, place);
  const BoxStart first = args.geometry.outputs.Start(place.column);
  StageCopies<Shape, Rows, Columns> copies(stages, args.geometry.depth, Rows(args.packed, place.group, place.row),
                                           Columns(args.geometry, args.patches, place.group, first));
  ThreadTotals<Shape> totals;
  ComputeTotals<Shape>(kernel, args.kind, args.geometry.depth, copies, totals);
  if (args.geometry.outputs.size % Shape::kColumnGroup == 0) {  // no group of neighbours is cut by a sample's end
    StoreTotals<Shape::kColumnGroup, Shape>(args, place, first, totals);
  } else {
    StoreTotals<1, Shape>(args, place, first, totals);
  }
}

template <class Kind>
void RunTiles(ConvArgs<Kind> args, cudaStream_t stream) {
  const PatchGeometry& g = args.geometry;
  const TileChoice choice = ChooseTile(g.groups, g.filters, g.columns(), Multiprocessors());
  WithTileOf<Kind>(choice, [&](auto shape) {
    using Shape = decltype(shape);
    args.row_tiles = CeilDiv(g.filters, Shape::kRows);
    args.column_tiles = CeilDiv(g.columns(), Shape::kColumns);
    Launch(ConvKernel<Kind, Shape>, g.groups * args.row_tiles * args.column_tiles, Shape::kThreads, stream, args);
  });
}

}  // namespace convolutions

template <class Kind>
void RunConv(const Kind& kind, const ConvProblem& problem, const PackedOperand* packed, void* memory,
             cudaStream_t stream) {
  const PatchGeometry geometry(problem.shape);
  if (geometry.columns() == 0 || geometry.filters == 0) return;
  Workspace workspace(memory);
  const ConvParts parts(problem, geometry, packed != nullptr, &workspace, stream);
  const PackedOperand weights =
      packed != nullptr ? *packed
                        : Pack(kind, problem.weights, nullptr, parts.weight_facts, parts.weight_values, stream);
  const Patches patches = MakePatches(kind, geometry, problem.x, weights, parts.patches, stream);
  const ConvArgs<Kind> args{kind, geometry, patches, problem.weights, weights, problem.output, KernelCounters()};
  IsDepthwise(geometry) ? RunDepthwise(args, stream) : convolutions::RunTiles(args, stream);
}

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_CONV_KERNEL_H_
