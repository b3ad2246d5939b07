// Convolution of groups with few filters. A block computes a strip of one filter's outputs, over all samples: weights
// and offsets go through shared memory, the planes are read as they lie, by neighbours side by side.
#ifndef LBA_KERNELS_CUDA_DEPTHWISE_KERNEL_H_
#define LBA_KERNELS_CUDA_DEPTHWISE_KERNEL_H_

#include <algorithm>

#include "kernels/cuda/conv_args.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/outer_sums.h"

namespace lba::cuda {
namespace strips {

constexpr int kThreads = 128;
constexpr int kBlocks = 5;       // that are meant to share a multiprocessor: their warps hide the latency of reads
constexpr int kStageTaps = 256;  // that are in shared memory at a time

struct alignas(8) WeightedTap {
  float weight;
  uint32_t offset;  // in bytes: an address is then one addition away
};

__device__ __forceinline__ float ReadPlane(const float* corner, uint32_t offset_bytes) {
  return *reinterpret_cast<const float*>(reinterpret_cast<const char*>(corner) + offset_bytes);
}

struct Strip {
  int64_t group, filter, column;  // first output position

  // Strips of the same patches follow each other.
  template <class Kind>
  __device__ Strip(const ConvArgs<Kind>& args, int outputs) {
    const uint32_t filters = static_cast<uint32_t>(args.geometry.filters);  // 32 bits divide faster
    const uint32_t strips = static_cast<uint32_t>(args.column_tiles);
    const uint32_t strip = blockIdx.x / filters;
    filter = blockIdx.x % filters;
    column = int64_t{strip % strips} * outputs;
    group = strip / strips;
  }
};

// kOutputs dot products a thread, kThreads apart.
template <int kOutputs, class Arithmetic, class Outer>
class StripSums {
 public:
  __device__ StripSums(const Arithmetic& arithmetic, int64_t chunk, Outer* outer)
      : arithmetic_(arithmetic), outer_(outer), chunk_(chunk), left_(chunk) {
#pragma unroll
    for (int i = 0; i < kOutputs; ++i) totals_[0][i] = sums_[i] = 0;
  }

  __device__ __forceinline__ void Add(const WeightedTap* taps, int count, const float* const (&corners)[kOutputs]) {
    for (int k = 0; k < count;) {
      const int end = left_ < count - k ? k + static_cast<int>(left_) : count;
      left_ -= end - k;
#pragma unroll 4
      for (; k < end; ++k) {
        const WeightedTap tap = taps[k];
#pragma unroll
        for (int i = 0; i < kOutputs; ++i)
          sums_[i] = arithmetic_.Step(sums_[i], ReadPlane(corners[i], tap.offset), tap.weight);
      }
      if (left_ == 0) EndChunk();
    }
  }

  __device__ void Finish() {
    if (left_ != chunk_) EndChunk();
    outer_->Finish(totals_);
  }
  __device__ float Total(int i) const { return totals_[0][i]; }

 private:
  __device__ void EndChunk() {
    left_ = chunk_;
#pragma unroll
    for (int i = 0; i < kOutputs; ++i) {
      totals_[0][i] = arithmetic_.Join(totals_[0][i], sums_[i]);
      sums_[i] = 0;
    }
    outer_->EndChunk(arithmetic_, totals_);
  }

  const Arithmetic arithmetic_;
  Outer* const outer_;
  const int64_t chunk_;
  int64_t left_;                                // products until the chunk is full
  float sums_[kOutputs], totals_[1][kOutputs];  // of a chunk, and of chunks
};

// The dot products of a thread, unscaled.
template <int kOutputs, class Kind, class Arithmetic>
__device__ __forceinline__ void ComputeTotals(const ConvArgs<Kind>& args, const Strip& strip,
                                              const Arithmetic& arithmetic, WeightedTap (&taps)[kStageTaps],
                                              const float* (&corners)[kOutputs], float (&dots)[kOutputs]) {
  const int64_t depth = args.geometry.depth;
  const float* weights = args.packed.Panel(strip.group, 0) + strip.filter;
  using Outer = OuterSums<Kind::kOuterSums, 1, kOutputs>;
  Outer outer(args.kind.order(), depth);
  StripSums<kOutputs, Arithmetic, Outer> sums(arithmetic, args.kind.chunk(), &outer);
  for (int64_t begin = 0; begin < depth; begin += kStageTaps) {
    const int count = static_cast<int>(std::min<int64_t>(depth - begin, kStageTaps));
    if (begin > 0) __syncthreads();  // all are done with the stage before
    for (int k = threadIdx.x; k < count; k += kThreads) {
      taps[k] = {weights[(begin + k) * kPanelWidth], args.patches.offset_bytes[begin + k]};
    }
    __syncthreads();
    sums.Add(taps, count, corners);
  }
  sums.Finish();
#pragma unroll
  for (int i = 0; i < kOutputs; ++i) dots[i] = args.kind.Unscaled(sums.Total(i));
}

template <int kOutputs, class Kind>
__device__ __forceinline__ void ComputeScaled(const ConvArgs<Kind>& args, const Strip& strip, int kernel,
                                              WeightedTap (&taps)[kStageTaps]) {
  const PatchGeometry& g = args.geometry;
  const BoxStart first = g.outputs.Start(strip.column);
  const float* corners[kOutputs];
  float dots[kOutputs]{};
#pragma unroll
  for (int i = 0; i < kOutputs; ++i) {
    const BoxPoint output = g.outputs.Find(first, i * kThreads + static_cast<int>(threadIdx.x));
    // Positions past the last read some other patch; their outputs are not stored.
    corners[i] = args.patches.planes + g.GroupOffset(strip.group) + (output.box < g.batch ? g.Corner(output) : 0);
  }
  args.kind.WithSteps(kernel,
                      [&](const auto& arithmetic) { ComputeTotals(args, strip, arithmetic, taps, corners, dots); });
#pragma unroll
  for (int i = 0; i < kOutputs; ++i) {
    const BoxPoint output = g.outputs.Find(first, i * kThreads + static_cast<int>(threadIdx.x));
    if (output.box >= g.batch) break;
    const OutputPlace place = args.PlaceOf(strip.group, strip.filter, output.box, output.point);
    args.output.Store(place.index, args.output.Finish(dots[i], place.channel));
  }
}

template <int kOutputs, class Kind>
__device__ __forceinline__ void ComputeExact(const ConvArgs<Kind>& args, const Strip& strip) {
  const int64_t end = std::min(strip.column + kOutputs * kThreads, args.geometry.columns());
  for (int64_t column = strip.column + threadIdx.x; column < end; column += kThreads) {
    args.StoreExact(strip.group, strip.filter, column);
  }
}

template <class Kind, int kOutputs>
__global__ void __launch_bounds__(kThreads, kBlocks) DepthwiseKernel(const __grid_constant__ ConvArgs<Kind> args) {
  __shared__ WeightedTap taps[kStageTaps];
  const Strip strip(args, kOutputs * kThreads);
  const int kernel = args.KernelFor(strip.group, strip.filter, 1, strip.column, kOutputs * kThreads);
  if (kernel == Kind::kExact) return ComputeExact<kOutputs>(args, strip);
  ComputeScaled<kOutputs>(args, strip, kernel, taps);
}

template <int kOutputs, class Kind>
void RunStrips(ConvArgs<Kind> args, cudaStream_t stream) {
  const PatchGeometry& g = args.geometry;
  args.column_tiles = CeilDiv(g.columns(), kOutputs * kThreads);
  Launch(DepthwiseKernel<Kind, kOutputs>, g.groups * g.filters * args.column_tiles, kThreads, stream, args);
}

}  // namespace strips

template <class Kind>
void RunDepthwise(const ConvArgs<Kind>& args, cudaStream_t stream) {
  using namespace strips;
  constexpr int kMostOutputs = 4;  // of a thread
  constexpr int kBlocksToShare = 4;
  // Few outputs: spread over many threads rather than many to a thread.
  const PatchGeometry& g = args.geometry;
  const int64_t all = g.groups * g.filters * (g.columns() / (kMostOutputs * kThreads));
  const bool is_large = all >= int64_t{kBlocksToShare} * Multiprocessors();
  is_large ? RunStrips<kMostOutputs>(args, stream) : RunStrips<1>(args, stream);
}

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_DEPTHWISE_KERNEL_H_
