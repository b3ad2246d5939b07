// Fills the planes of a convolution, scaled as the kind wants them, and says which kernel each sample and panel takes.
#ifndef LBA_KERNELS_CUDA_PATCH_KERNEL_H_
#define LBA_KERNELS_CUDA_PATCH_KERNEL_H_

#include <algorithm>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/patches.h"
#include "kernels/cuda/range_reduction.h"
#include "kernels/cuda/tile_plan.h"

namespace lba::cuda {
namespace planes {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kPerThread = 8;  // values read before any is needed
constexpr int kBlockValues = kThreads * kPerThread;
constexpr int64_t kMostRangeBlocks = 1024;

__device__ __forceinline__ float ToFloat(float value) { return value; }
__device__ __forceinline__ float ToFloat(uint16_t value) { return HalfToFloat(value); }

struct SampleArgs {
  const void* values;
  int64_t count;  // of one sample
  int64_t batch;
  uint32_t blocks;      // for one sample
  SharedRange* ranges;  // of each sample, then of all finite values
};

template <class T>
__global__ void __launch_bounds__(kThreads) SampleRangeKernel(const __grid_constant__ SampleArgs args) {
  __shared__ ThreadRange warps[kWarps];
  const uint32_t sample = blockIdx.x / args.blocks;
  const T* values = static_cast<const T*>(args.values) + sample * args.count;
  ThreadRange range{};
  for (int64_t first = int64_t{blockIdx.x % args.blocks} * kBlockValues; first < args.count;
       first += int64_t{args.blocks} * kBlockValues) {
    float read[kPerThread];
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) {
      const int64_t index = first + i * kThreads + threadIdx.x;
      read[i] = index < args.count ? ToFloat(values[index]) : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < kPerThread; ++i) range.Include(read[i]);
  }
  if (!range.MergeBlock(warps)) return;
  range.MergeInto(args.ranges + sample, false);
  range.MergeIntoWhole(args.ranges + args.batch);
}

template <class Kind>
struct PatchArgs {
  Kind kind;
  PatchGeometry geometry;
  const void* x;
  PackedOperand weights;
  PatchMemory memory;
  int64_t plane_blocks;
  int64_t padded_depth, entries;  // of the table of taps, and of both tables
};

// Past the depth any valid offset will do.
template <class Kind>
__device__ void ListTap(const PatchArgs<Kind>& args, int64_t k) {
  const PatchGeometry& g = args.geometry;
  args.memory.offset_bytes[k] = 0;
  if (k >= g.depth) return;
  const PatchTap tap = PatchTap::Of(g, k);
  args.memory.taps[k] = tap;
  int64_t offset = tap.channel;
  for (int d = 0; d < 3; ++d) offset = offset * g.planes.sizes[d] + tap.at[d];
  args.memory.offset_bytes[k] = static_cast<uint32_t>(offset * sizeof(float));
}

// What is known of the values of any patch of a sample: sums of squares follow from the largest.
template <class Kind>
__device__ TileRange RangeOfPatches(const PatchArgs<Kind>& args, int64_t sample) {
  ValueRange range = args.memory.ranges[sample].Read();
  const float largest = __uint_as_float(range.max_bits);
  range.max_chunk_squares = static_cast<float>(args.kind.chunk()) * (largest * largest);
  return {range, PanelBounds(range, args.kind.chunk())};
}

// The kernel for a sample and a panel of filters.
template <class Kind>
__device__ void PlanPanel(const PatchArgs<Kind>& args, int64_t entry) {
  const int64_t panels = args.geometry.groups * args.weights.panels;
  int kernel = Kind::kExact;
  if (args.plane_blocks > 0) {
    const PanelFacts& filters = args.weights.facts[entry % panels];
    kernel = args.kind.KernelFor(RangeOfPatches(args, entry / panels), {filters.range.Read(), filters.bounds},
                                 args.memory.ranges[args.geometry.batch].Read(), args.weights.whole->Read());
  }
  args.memory.kernels[entry] = kernel;
}

// One entry of a table a thread.
template <class Kind>
__device__ void FillTables(const PatchArgs<Kind>& args, int64_t entry) {
  if (entry < args.padded_depth) {
    ListTap(args, entry);
  } else if (entry < args.entries) {
    PlanPanel(args, entry - args.padded_depth);
  }
}

// The first blocks copy the input into the planes, the others fill the tables: one launch less.
template <class Kind, class T>
__global__ void __launch_bounds__(kThreads) PatchKernel(const __grid_constant__ PatchArgs<Kind> args) {
  __shared__ float scales[2];
  const PatchGeometry& g = args.geometry;
  if (blockIdx.x >= args.plane_blocks) {
    return FillTables(args, (int64_t{blockIdx.x} - args.plane_blocks) * kThreads + threadIdx.x);
  }
  if (threadIdx.x == 0) {
    const ProductPlan plan = args.kind.PlanProduct(args.memory.ranges[g.batch].Read(), args.weights.whole->Read());
    scales[0] = PowerOfTwo(plan.moving_log2);
    scales[1] = plan.is_fused ? args.kind.fused_scale() : 1.0f;
  }
  __syncthreads();
  const T* x = static_cast<const T*>(args.x);
  const int64_t first = int64_t{blockIdx.x} * kBlockValues;
  const BoxStart start = g.planes.Start(first);
  float values[kPerThread];
#pragma unroll
  for (int i = 0; i < kPerThread; ++i) {
    const int past = i * kThreads + static_cast<int>(threadIdx.x);
    const BoxPoint point = g.planes.Find(start, past);
    bool is_inside = first + past < g.plane_floats();
    uint32_t index = 0;
#pragma unroll
    for (int d = 0; d < 3; ++d) {
      const uint32_t place = point.at[d] - static_cast<uint32_t>(g.pads[d]);  // before the image: very large
      is_inside = is_inside && place < g.input[d];
      index = index * static_cast<uint32_t>(g.input[d]) + place;
    }
    values[i] = is_inside ? ToFloat(x[point.box * g.input_size + index]) : 0.0f;
  }
#pragma unroll
  for (int i = 0; i < kPerThread; ++i) {
    const int64_t index = first + i * kThreads + threadIdx.x;
    if (index >= g.plane_floats()) break;
    args.memory.planes[index] = MultiplyTowardZero(MultiplyTowardZero(values[i], scales[0]), scales[1]);
  }
}

template <class T, class Kind>
void QueuePatches(const PatchArgs<Kind>& args, cudaStream_t stream) {
  const PatchGeometry& g = args.geometry;
  const int64_t count = g.groups * g.channels * g.input_size;
  const int64_t blocks =
      std::max<int64_t>(1, std::min(CeilDiv(count, kBlockValues), CeilDiv(kMostRangeBlocks, g.batch)));
  const SampleArgs samples{args.x, count, g.batch, static_cast<uint32_t>(blocks), args.memory.ranges};
  Launch(SampleRangeKernel<T>, g.batch * blocks, kThreads, stream, samples);
  Launch(PatchKernel<Kind, T>, args.plane_blocks + CeilDiv(args.entries, kThreads), kThreads, stream, args);
}

}  // namespace planes

template <class Kind>
Patches MakePatches(const Kind& kind, const PatchGeometry& geometry, Values x, const PackedOperand& weights,
                    const PatchMemory& memory, cudaStream_t stream) {
  using namespace planes;
  const int64_t padded_depth = RoundUp(geometry.depth, kStageDepth);
  PatchArgs<Kind> args{
      kind,   geometry, x.data,       weights,
      memory, 0,        padded_depth, padded_depth + geometry.batch * geometry.groups * weights.panels};
  if (geometry.has_planes()) args.plane_blocks = CeilDiv(geometry.plane_floats(), kBlockValues);
  x.is_half ? QueuePatches<uint16_t>(args, stream) : QueuePatches<float>(args, stream);
  return {x, memory.planes, memory.offset_bytes, memory.taps, memory.kernels};
}

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_PATCH_KERNEL_H_
