// Blocks that read a slice of a panel each, through shared memory.
#ifndef LBA_KERNELS_CUDA_PANEL_SLICES_H_
#define LBA_KERNELS_CUDA_PANEL_SLICES_H_

#include <algorithm>

#include "kernels/cuda/operand.h"

namespace lba::cuda {
namespace slices {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kSliceDepth = 128;  // depths that one block reads of a panel, at most
struct PanelArgs {
  MatrixSource source;
  int64_t chunk = 0;
  int64_t slice_depth = 0, slices = 0;
  int64_t panels = 0, all_panels = 0, padded_depth = 0;
  PanelFacts* facts = nullptr;

  PanelArgs(const MatrixSource& operand, int64_t chunk_size, int64_t depth, int64_t depth_of_slice)
      : source(operand),
        chunk(chunk_size),
        slice_depth(depth_of_slice),
        slices(CeilDiv(depth, depth_of_slice)),
        panels(operand.panels()),
        all_panels(operand.all_panels()),
        padded_depth(RoundUp(operand.depth, kStageDepth)) {}
};

// A slice of a panel in shared memory, [vector][k]; the odd row length keeps both directions free of bank conflicts.
using Slice = float[kPanelWidth][kSliceDepth + 1];

// Which panel and slice a block works on.
struct Place {
  uint32_t panel, matrix;
  int64_t first_vector, matrix_offset, begin, end;

  __device__ Place(const PanelArgs& args, int64_t depth) {
    const uint32_t block = blockIdx.x, slices = static_cast<uint32_t>(args.slices);  // 32 bits divide faster
    const uint32_t slice = block % slices, panels = static_cast<uint32_t>(args.panels);
    panel = block / slices;
    matrix = panel / panels;
    first_vector = int64_t{panel % panels} * kPanelWidth;
    matrix_offset = args.source.matrices(matrix);
    begin = slice * args.slice_depth;
    end = std::min(begin + args.slice_depth, depth);
  }
};

// Four values at a time, read side by side before any is stored; zeros past the operand's end.
template <class Index>
__device__ __forceinline__ void LoadFour(const MatrixSource& source, const Place& place, const Index& index,
                                         Slice& slice) {
  float values[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const auto [vector, k] = index(i);
    const bool is_inside = place.first_vector + vector < source.vectors && place.begin + k < source.depth;
    values[i] = is_inside ? source.Read(place.matrix_offset, place.first_vector + vector, place.begin + k) : 0.0f;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const auto [vector, k] = index(i);
    if (k < kSliceDepth) slice[vector][k] = values[i];
  }
}

struct SliceIndex {
  int vector, k;
};

// Lanes go in the direction in which the values lie side by side.
__device__ inline void LoadSlice(const MatrixSource& source, const Place& place, Slice& slice) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int depths = static_cast<int>(place.end - place.begin);
  if (source.depth_stride == 1) {
    for (int vector = warp; vector < kPanelWidth; vector += kWarps) {
      LoadFour(source, place, [&](int i) { return SliceIndex{vector, lane + i * 32}; }, slice);
    }
  } else {
    for (int k = warp; k < depths; k += 4 * kWarps) {
      LoadFour(source, place, [&](int i) { return SliceIndex{lane, k + i * kWarps}; }, slice);
    }
  }
}

}  // namespace slices
}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_PANEL_SLICES_H_
