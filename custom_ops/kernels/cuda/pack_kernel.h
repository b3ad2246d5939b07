// Packs an operand: finds ranges, then copies the values, scaled as the kind wants them.
#ifndef LBA_KERNELS_CUDA_PACK_KERNEL_H_
#define LBA_KERNELS_CUDA_PACK_KERNEL_H_

#include "kernels/cuda/launch.h"
#include "kernels/cuda/panel_slices.h"
#include "kernels/cuda/tile_plan.h"

namespace lba::cuda {
namespace slices {

template <class Kind>
struct PackArgs {
  PanelArgs panels;
  Kind kind;
  const SharedRange* own_whole;    // of the operand itself
  const SharedRange* fixed_whole;  // of the other operand where this one moves; else null
  float* values;                   // packed
};

// The factors by which the operand is multiplied, one after the other.
template <class Kind>
__device__ void ScalesOf(const PackArgs<Kind>& args, float* first, float* second) {
  *second = 1;
  if (args.fixed_whole == nullptr) {
    *first = PowerOfTwo(args.kind.FixedScaleLog2(args.own_whole->Read()));
    return;
  }
  const ProductPlan plan = args.kind.PlanProduct(args.own_whole->Read(), args.fixed_whole->Read());
  *first = PowerOfTwo(plan.moving_log2);
  if (plan.is_fused) *second = args.kind.fused_scale();
}

template <class Kind>
__global__ void __launch_bounds__(kThreads, 4) PackKernel(const __grid_constant__ PackArgs<Kind> args) {
  const PanelArgs& panels = args.panels;
  __shared__ Slice slice;
  __shared__ float scales[2];
  const Place place(panels, panels.padded_depth);
  if (threadIdx.x == 0) ScalesOf(args, &scales[0], &scales[1]);
  if (threadIdx.x == 32 && place.begin == 0) {
    PanelFacts& facts = panels.facts[place.panel];
    facts.bounds = PanelBounds(facts.range.Read(), panels.chunk);
  }
  LoadSlice(panels.source, place, slice);
  __syncthreads();
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  float* out = args.values + (place.panel * panels.padded_depth + place.begin) * kPanelWidth;
  for (int k = warp; k < static_cast<int>(place.end - place.begin); k += kWarps) {
    out[k * kPanelWidth + lane] = MultiplyTowardZero(MultiplyTowardZero(slice[lane][k], scales[0]), scales[1]);
  }
}

}  // namespace slices

template <class Kind>
PackedOperand Pack(const Kind& kind, const MatrixSource& source, const SharedRange* fixed, PanelFacts* facts,
                   float* values, cudaStream_t stream) {
  using namespace slices;
  FindRanges(source, kind.chunk(), facts, stream);
  PanelArgs panels(source, kind.chunk(), RoundUp(source.depth, kStageDepth), kSliceDepth);
  panels.facts = facts;
  const PackArgs<Kind> args{panels, kind, &facts[panels.all_panels].range, fixed, values};
  Launch(PackKernel<Kind>, panels.all_panels * panels.slices, kThreads, stream, args);
  return {values, facts, args.own_whole, panels.panels, panels.padded_depth};
}

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_PACK_KERNEL_H_
