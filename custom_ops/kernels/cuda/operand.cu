#include "kernels/cuda/launch.h"
#include "kernels/cuda/operand.h"
#include "kernels/cuda/range_reduction.h"

namespace lba::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kSliceDepth = 128;  // depths that one block reads of a panel, at most
// Chunks longer than a slice are bounded by all slices together: sums of so few roundings that 1 + 2^-7 covers them.
constexpr float kRoundingsCovered = 1.0f + 0x1p-7f;
constexpr int64_t kMostSlices = 1 << 16;

struct PanelArgs {
  ShortCuts cuts;
  MatrixSource source;
  int64_t slice_depth = 0, slices = 0;
  int64_t panels = 0, all_panels = 0, padded_depth = 0;
  PanelFacts* facts = nullptr;               // found
  const SharedRange* own_whole = nullptr;    // for packing: of the operand itself
  const SharedRange* fixed_whole = nullptr;  // for packing: of the other operand where this one moves; else null
  float* values = nullptr;                   // packed
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
__device__ void LoadSlice(const MatrixSource& source, const Place& place, Slice& slice) {
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

// The largest sum of squares over a chunk of one vector; of a whole slice where chunks are longer.
__device__ float LargestSquares(const Slice& slice, int depths, int chunk) {
  __shared__ float partial[kWarps][32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  float largest = 0;
  if (chunk <= kSliceDepth) {
    for (int begin = warp * chunk; begin < depths; begin += kWarps * chunk) {
      float squares = 0;
      for (int k = begin; k < std::min(begin + chunk, depths); ++k) squares += slice[lane][k] * slice[lane][k];
      largest = std::max(largest, squares);
    }
    return largest;
  }
  float squares = 0;
  for (int k = warp; k < depths; k += kWarps) squares += slice[lane][k] * slice[lane][k];
  partial[warp][lane] = squares;
  __syncthreads();
  for (int w = 0; w < kWarps; ++w) largest += partial[w][lane];
  return largest * kRoundingsCovered;
}

__global__ void __launch_bounds__(kThreads) RangeKernel(const __grid_constant__ PanelArgs args) {
  __shared__ Slice slice;
  __shared__ ThreadRange warps[kWarps];
  const Place place(args, args.source.depth);
  const int depths = static_cast<int>(place.end - place.begin);
  LoadSlice(args.source, place, slice);
  __syncthreads();
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  ThreadRange range{};
  for (int k = warp; k < depths; k += kWarps) range.Include(slice[lane][k]);
  const int64_t chunk = args.cuts.chunk();
  const bool adds_squares = chunk > kSliceDepth;
  range.squares = LargestSquares(slice, depths, static_cast<int>(std::min<int64_t>(chunk, kSliceDepth + 1)));
  if (adds_squares && args.slices > kMostSlices) range.squares = 0x1p127f;
  if (!range.MergeBlock(warps)) return;
  range.MergeInto(&args.facts[place.panel].range, adds_squares);
  range.MergeIntoWhole(&args.facts[args.all_panels].range);
}

// The factors by which the operand is multiplied, one after the other.
__device__ void ScalesOf(const PanelArgs& args, float* first, float* second) {
  *second = 1;
  if (args.fixed_whole == nullptr) {
    *first = PowerOfTwo(args.cuts.FixedScaleLog2(args.own_whole->Read()));
    return;
  }
  const ProductPlan plan = PlanProduct(args.cuts, args.own_whole->Read(), args.fixed_whole->Read());
  *first = PowerOfTwo(plan.moving_log2);
  if (plan.is_fused) *second = args.cuts.constants().product_to_accumulator;
}

__global__ void __launch_bounds__(kThreads, 4) PackKernel(const __grid_constant__ PanelArgs args) {
  __shared__ Slice slice;
  __shared__ float scales[2];
  const Place place(args, args.padded_depth);
  if (threadIdx.x == 0) ScalesOf(args, &scales[0], &scales[1]);
  if (threadIdx.x == 32 && place.begin == 0) {
    PanelFacts& facts = args.facts[place.panel];
    facts.bounds = PanelBounds(facts.range.Read(), args.cuts.chunk());
  }
  LoadSlice(args.source, place, slice);
  __syncthreads();
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  float* out = args.values + (place.panel * args.padded_depth + place.begin) * kPanelWidth;
  for (int k = warp; k < static_cast<int>(place.end - place.begin); k += kWarps) {
    out[k * kPanelWidth + lane] = MultiplyTowardZero(MultiplyTowardZero(slice[lane][k], scales[0]), scales[1]);
  }
}

PanelArgs ArgsOf(const ShortCuts& cuts, const MatrixSource& source, int64_t depth, int64_t slice_depth) {
  PanelArgs args{cuts, source};
  args.slice_depth = slice_depth;
  args.slices = CeilDiv(depth, slice_depth);
  args.panels = source.panels();
  args.all_panels = source.all_panels();
  args.padded_depth = RoundUp(source.depth, kStageDepth);
  return args;
}

void FindRanges(const ShortCuts& cuts, const MatrixSource& source, PanelFacts* facts, cudaStream_t stream) {
  // Slices hold whole chunks where these are short.
  const int64_t slice = cuts.chunk() <= kSliceDepth ? kSliceDepth / cuts.chunk() * cuts.chunk() : kSliceDepth;
  PanelArgs args = ArgsOf(cuts, source, source.depth, slice);
  args.facts = facts;
  Launch(RangeKernel, args.all_panels * args.slices, kThreads, stream, args);
}

}  // namespace

int64_t FactCount(const MatrixSource& source) { return source.all_panels() + 1; }

int64_t PackedFloats(const MatrixSource& source) {
  return source.all_panels() * RoundUp(source.depth, kStageDepth) * kPanelWidth;
}

PackedOperand Pack(const ShortCuts& cuts, const MatrixSource& source, const SharedRange* fixed, PanelFacts* facts,
                   float* values, cudaStream_t stream) {
  FindRanges(cuts, source, facts, stream);
  PanelArgs args = ArgsOf(cuts, source, RoundUp(source.depth, kStageDepth), kSliceDepth);
  args.facts = facts;
  args.own_whole = &facts[args.all_panels].range;
  args.fixed_whole = fixed;
  args.values = values;
  Launch(PackKernel, args.all_panels * args.slices, kThreads, stream, args);
  return {values, facts, args.own_whole, args.panels, args.padded_depth};
}

}  // namespace lba::cuda
