// What the kernels of convolutions are given, and what they share.
#ifndef LBA_KERNELS_CUDA_CONV_ARGS_H_
#define LBA_KERNELS_CUDA_CONV_ARGS_H_

#include <algorithm>

#include "kernels/cuda/output.h"
#include "kernels/cuda/patches.h"

namespace lba::cuda {

// Where an output lies: in y, and of which channel it is.
struct OutputPlace {
  int64_t index, channel;
};

template <class Kind>
struct ConvArgs {
  Kind kind;
  PatchGeometry geometry;
  Patches patches;
  MatrixSource weights;
  PackedOperand packed;  // of the weights
  Output output;
  unsigned long long* counters;
  int64_t row_tiles = 0, column_tiles = 0;  // of one group

  // For `rows` filters of a group and `columns` output positions, each from the first on: a kernel can stand in for
  // those before it. Tells the counters. All threads call it.
  __device__ int KernelFor(int64_t group, int64_t row, int rows, int64_t column, int columns) const {
    const int64_t first_panel = row / kPanelWidth, first_sample = column / geometry.outputs.size;
    const int64_t last_panel = std::min((row + rows - 1) / kPanelWidth, packed.panels - 1);
    const int64_t last_sample = std::min((column + columns - 1) / geometry.outputs.size, geometry.batch - 1);
    const auto panels = static_cast<uint32_t>(last_panel - first_panel + 1);
    const auto planned = static_cast<uint32_t>(last_sample - first_sample + 1) * panels;
    uint32_t last = 0;
    for (uint32_t i = threadIdx.x % 32; i < planned; i += 32) {
      const int64_t matrix = (first_sample + i / panels) * geometry.groups + group;
      last = std::max(last, static_cast<uint32_t>(patches.kernels[matrix * packed.panels + first_panel + i % panels]));
    }
    for (int distance = 16; distance > 0; distance /= 2) {
      last = std::max(last, __shfl_xor_sync(0xffffffffu, last, distance));
    }
    if (threadIdx.x == 0) atomicAdd(counters + last, 1ull);
    return static_cast<int>(last);
  }

  __device__ OutputPlace PlaceOf(int64_t group, int64_t filter, int64_t sample, int64_t position) const {
    const int64_t channel = group * geometry.filters + filter;
    return {(sample * geometry.groups * geometry.filters + channel) * geometry.outputs.size + position, channel};
  }

  // The dot product by the definition, stored.
  __device__ void StoreExact(int64_t group, int64_t filter, int64_t column) const {
    const int64_t sample = column / geometry.outputs.size, position = column % geometry.outputs.size;
    const PatchOperands operands(geometry, patches.x, patches.taps, weights, group, filter, column);
    const float dot = kind.Dot(geometry.depth, operands);
    const OutputPlace place = PlaceOf(group, filter, sample, position);
    output.Store(place.index, output.Finish(dot, place.channel));
  }
};

// Groups with few filters (depthwise: one) leave most rows of a tile idle; each of their filters has blocks of its own.
inline bool IsDepthwise(const PatchGeometry& geometry) {
  constexpr int64_t kMostFilters = 3;
  return geometry.groups > 1 && geometry.filters <= kMostFilters;
}

// Queues the product of filters that IsDepthwise; defined in depthwise_kernel.h.
template <class Kind>
void RunDepthwise(const ConvArgs<Kind>& args, cudaStream_t stream);

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_CONV_ARGS_H_
