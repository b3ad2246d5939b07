#include "kernels/cuda/launch.h"
#include "kernels/cuda/operand.h"
#include "kernels/cuda/panel_slices.h"
#include "kernels/cuda/range_reduction.h"

namespace lba::cuda {
namespace {

using namespace slices;

// Chunks longer than a slice are bounded by all slices together: sums of so few roundings that 1 + 2^-7 covers them.
constexpr float kRoundingsCovered = 1.0f + 0x1p-7f;
constexpr int64_t kMostSlices = 1 << 16;

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
  const int64_t chunk = args.chunk;
  const bool adds_squares = chunk > kSliceDepth;
  range.squares = LargestSquares(slice, depths, static_cast<int>(std::min<int64_t>(chunk, kSliceDepth + 1)));
  if (adds_squares && args.slices > kMostSlices) range.squares = 0x1p127f;
  if (!range.MergeBlock(warps)) return;
  range.MergeInto(&args.facts[place.panel].range, adds_squares);
  range.MergeIntoWhole(&args.facts[args.all_panels].range);
}

}  // namespace

int64_t FactCount(const MatrixSource& source) { return source.all_panels() + 1; }

int64_t PackedFloats(const MatrixSource& source) {
  return source.all_panels() * RoundUp(source.depth, kStageDepth) * kPanelWidth;
}

void FindRanges(const MatrixSource& source, int64_t chunk, PanelFacts* facts, cudaStream_t stream) {
  // Slices hold whole chunks where these are short.
  const int64_t slice = chunk <= kSliceDepth ? kSliceDepth / chunk * chunk : kSliceDepth;
  PanelArgs args(source, chunk, source.depth, slice);
  args.facts = facts;
  Launch(RangeKernel, args.all_panels * args.slices, kThreads, stream, args);
}

}  // namespace lba::cuda
