// What the kernels of convolutions are given, and what they share.
#ifndef LBA_CUDA_CONV_ARGS_H_
#define LBA_CUDA_CONV_ARGS_H_

#include <algorithm>

#include "cuda/output.h"
#include "cuda/patches.h"

namespace lba::cuda {

// Where an output lies: in y, and of which channel it is.
struct OutputPlace {
  int64_t index, channel;
};

struct ConvArgs {
  ShortCuts cuts;
  PatchGeometry geometry;
  Patches patches;
  MatrixSource weights;
  PackedOperand packed;  // of the weights
  Output output;
  unsigned long long* counters;
  int64_t row_tiles = 0, column_tiles = 0;  // of one group

  // For `count` filters of a group from the first on. A kernel can stand in for those before it; tells the counters.
  __device__ ProductKernel KernelFor(int64_t group, int64_t first, int count) const {
    const ProductKernel* kernels = patches.kernels + group * packed.panels;
    const int64_t last = std::min((first + count - 1) / kPanelWidth, packed.panels - 1);
    ProductKernel kernel = ProductKernel::kFused;
    for (int64_t panel = first / kPanelWidth; panel <= last; ++panel) kernel = std::max(kernel, kernels[panel]);
    if (threadIdx.x == 0) atomicAdd(counters + static_cast<int>(kernel), 1ull);
    return kernel;
  }

  __device__ OutputPlace PlaceOf(int64_t group, int64_t filter, int64_t sample, int64_t position) const {
    const int64_t channel = group * geometry.filters + filter;
    return {(sample * geometry.groups * geometry.filters + channel) * geometry.outputs.size + position, channel};
  }

  // The dot product by the definition, stored.
  __device__ void StoreExact(int64_t group, int64_t filter, int64_t column) const {
    const int64_t sample = column / geometry.outputs.size, position = column % geometry.outputs.size;
    const float dot = ExactPatchDot(cuts, geometry, patches, weights, group, filter, column);
    const OutputPlace place = PlaceOf(group, filter, sample, position);
    output.Store(place.index, output.Finish(dot, place.channel));
  }
};

// Groups with few filters (depthwise: one) leave most rows of a tile idle; each of their filters has blocks of its own.
inline bool IsDepthwise(const PatchGeometry& geometry) {
  constexpr int64_t kMostFilters = 3;
  return geometry.groups > 1 && geometry.filters <= kMostFilters;
}

// Queues the product of filters that IsDepthwise.
void RunDepthwise(ConvArgs args, cudaStream_t stream);

}  // namespace lba::cuda

#endif  // LBA_CUDA_CONV_ARGS_H_
