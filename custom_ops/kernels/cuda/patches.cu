#include <algorithm>
#include <array>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/patches.h"
#include "kernels/cuda/range_reduction.h"
#include "kernels/cuda/tile_plan.h"

namespace lba::cuda {
namespace {

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

struct PatchArgs {
  ShortCuts cuts;
  PatchGeometry geometry;
  const void* x;
  PackedOperand weights;
  PatchMemory memory;
  int64_t plane_blocks;
  int64_t padded_depth, entries;  // of the table of taps, and of both tables
};

// Past the depth any valid offset will do.
__device__ void ListTap(const PatchArgs& args, int64_t k) {
  const PatchGeometry& g = args.geometry;
  args.memory.offset_bytes[k] = 0;
  if (k >= g.depth) return;
  const int64_t position = k % g.kernel_size, row = position / g.kernel[2];
  const PatchTap tap{k / g.kernel_size,
                     {row / g.kernel[1] * g.dilations[0], row % g.kernel[1] * g.dilations[1],
                      position % g.kernel[2] * g.dilations[2]}};
  args.memory.taps[k] = tap;
  int64_t offset = tap.channel;
  for (int d = 0; d < 3; ++d) offset = offset * g.planes.sizes[d] + tap.at[d];
  args.memory.offset_bytes[k] = static_cast<uint32_t>(offset * sizeof(float));
}

// What is known of the values of any patch of a sample: sums of squares follow from the largest.
__device__ TileRange RangeOfPatches(const PatchArgs& args, int64_t sample) {
  ValueRange range = args.memory.ranges[sample].Read();
  const float largest = __uint_as_float(range.max_bits);
  range.max_chunk_squares = static_cast<float>(args.cuts.chunk()) * (largest * largest);
  return {range, PanelBounds(range, args.cuts.chunk())};
}

// The kernel for a sample and a panel of filters.
__device__ void PlanPanel(const PatchArgs& args, int64_t entry) {
  const int64_t panels = args.geometry.groups * args.weights.panels;
  ProductKernel kernel = ProductKernel::kExact;
  if (args.plane_blocks > 0) {
    const PanelFacts& filters = args.weights.facts[entry % panels];
    kernel = PlanTile(args.cuts, RangeOfPatches(args, entry / panels), {filters.range.Read(), filters.bounds},
                      args.memory.ranges[args.geometry.batch].Read(), args.weights.whole->Read());
  }
  args.memory.kernels[entry] = kernel;
}

// One entry of a table a thread.
__device__ void FillTables(const PatchArgs& args, int64_t entry) {
  if (entry < args.padded_depth) {
    ListTap(args, entry);
  } else if (entry < args.entries) {
    PlanPanel(args, entry - args.padded_depth);
  }
}

// The first blocks copy the input into the planes, the others fill the tables: one launch less.
template <class T>
__global__ void __launch_bounds__(kThreads) PatchKernel(const __grid_constant__ PatchArgs args) {
  __shared__ float scales[2];
  const PatchGeometry& g = args.geometry;
  if (blockIdx.x >= args.plane_blocks) {
    return FillTables(args, (int64_t{blockIdx.x} - args.plane_blocks) * kThreads + threadIdx.x);
  }
  if (threadIdx.x == 0) {
    const ProductPlan plan = PlanProduct(args.cuts, args.memory.ranges[g.batch].Read(), args.weights.whole->Read());
    scales[0] = PowerOfTwo(plan.moving_log2);
    scales[1] = plan.is_fused ? args.cuts.constants().product_to_accumulator : 1.0f;
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

std::array<int64_t, 3> PlaneSizes(const ConvShape& shape) {
  std::array<int64_t, 3> sizes;
  for (int d = 0; d < 3; ++d) {
    sizes[d] = (shape.output[d] - 1) * shape.strides[d] + (shape.kernel[d] - 1) * shape.dilations[d] + 1;
  }
  return sizes;
}

template <class T>
void QueuePatches(const PatchArgs& args, cudaStream_t stream) {
  const PatchGeometry& g = args.geometry;
  const int64_t count = g.groups * g.channels * g.input_size;
  const int64_t blocks =
      std::max<int64_t>(1, std::min(CeilDiv(count, kBlockValues), CeilDiv(kMostRangeBlocks, g.batch)));
  const SampleArgs samples{args.x, count, g.batch, static_cast<uint32_t>(blocks), args.memory.ranges};
  Launch(SampleRangeKernel<T>, g.batch * blocks, kThreads, stream, samples);
  Launch(PatchKernel<T>, args.plane_blocks + CeilDiv(args.entries, kThreads), kThreads, stream, args);
}

}  // namespace

Boxes::Boxes(const std::array<int64_t, 3>& box_sizes) {
  std::copy(box_sizes.begin(), box_sizes.end(), sizes);
  double points = 1;
  for (const int64_t dimension : sizes) points *= static_cast<double>(dimension);
  size = points < 0x1p62 ? sizes[0] * sizes[1] * sizes[2] : int64_t{1} << 62;
  if (size > kMostPoints) return;
  by_size = Divisor(size);
  by_middle = Divisor(sizes[1]);
  by_last = Divisor(sizes[2]);
}

PatchGeometry::PatchGeometry(const ConvShape& shape)
    : batch(shape.batch),
      groups(shape.groups),
      channels(shape.group_in_channels()),
      filters(shape.group_out_channels()),
      input_size(shape.input_size()),
      kernel_size(shape.kernel[0] * shape.kernel[1] * shape.kernel[2]),
      depth(shape.depth()),
      outputs(shape.output),
      planes(PlaneSizes(shape)) {
  std::copy(shape.input.begin(), shape.input.end(), input);
  std::copy(shape.kernel.begin(), shape.kernel.end(), kernel);
  std::copy(shape.strides.begin(), shape.strides.end(), strides);
  std::copy(shape.dilations.begin(), shape.dilations.end(), dilations);
  std::copy(shape.pads_begin.begin(), shape.pads_begin.end(), pads);
}

bool PatchGeometry::has_planes() const {
  constexpr double kAlwaysModest = 1 << 22;
  constexpr double kModestRatio = 8;
  const double all = static_cast<double>(batch * groups * channels);
  const double copied = all * static_cast<double>(planes.size);
  return planes.size <= Boxes::kMostPoints && input_size <= Boxes::kMostPoints &&
         static_cast<double>(channels) * static_cast<double>(planes.size) * sizeof(float) < 0x1p32 &&
         copied <= std::max(kAlwaysModest, kModestRatio * all * static_cast<double>(input_size));
}

Patches MakePatches(const ShortCuts& cuts, const PatchGeometry& geometry, Values x, const PackedOperand& weights,
                    const PatchMemory& memory, cudaStream_t stream) {
  const int64_t padded_depth = RoundUp(geometry.depth, kStageDepth);
  PatchArgs args{cuts,   geometry, x.data,       weights,
                 memory, 0,        padded_depth, padded_depth + geometry.batch * geometry.groups * weights.panels};
  if (geometry.has_planes()) args.plane_blocks = CeilDiv(geometry.plane_floats(), kBlockValues);
  x.is_half ? QueuePatches<uint16_t>(args, stream) : QueuePatches<float>(args, stream);
  return {x, memory.planes, memory.offset_bytes, memory.taps, memory.kernels};
}

}  // namespace lba::cuda
