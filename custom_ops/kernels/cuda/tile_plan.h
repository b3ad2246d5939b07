// What is known of operands before a tile is computed, and what follows for their scales. A Kind, which kernels take as
// a template argument, is how an accumulator computes dot products of one depth. Copied to the device, it brings
//   kOuterSums                              levels of sums further out than those of chunks, at most
//   order()                                 of sums (common/sum_order.h), and chunk(), its innermost groups
//   FixedScaleLog2(fixed)                   of the ranges of whole operands
//   PlanProduct(moving, fixed)              likewise
//   fused_scale()
//   KernelFor(moving, fixed, wholes...)     a place in LBA_CUDA_KERNELS, from the TileRanges of a tile; higher ones can
//                                           stand in for lower ones, and the highest, kExact, is the definition
//   WithSteps(kernel, function)             calls function(steps) for any but kExact: Step(sum, x, w), Join(total, sum)
//   Unscaled(total)                         as the caller sees it; zeros are positive
//   Dot(depth, read)                        a dot product by the definition: read(k, &x, &w) gives its operands
// and for the host, of its Spec
//   ChainsOf(spec), kGroups                 for the statistics (kernels/cuda/statistics.h)
#ifndef LBA_KERNELS_CUDA_TILE_PLAN_H_
#define LBA_KERNELS_CUDA_TILE_PLAN_H_

#include <algorithm>

#include "kernels/cuda/operand.h"

namespace lba::cuda {

// What is known of some panels together.
struct TileRange {
  ValueRange range;
  PanelBounds bounds;
};

// Of those that hold vectors first ... first + count - 1 of a packed operand.
__device__ inline TileRange RangeOf(const PackedOperand& operand, int64_t matrix, int64_t first, int count) {
  TileRange known;
  const int64_t last = std::min((first + count - 1) / kPanelWidth, operand.panels - 1);
  for (int64_t panel = first / kPanelWidth; panel <= last; ++panel) {
    const PanelFacts& facts = operand.facts[matrix * operand.panels + panel];
    known.range.Merge(facts.range.Read());
    known.bounds.Merge(facts.bounds);
  }
  return known;
}

// Scales that follow from what is known of two operands.
struct ProductPlan {
  int fixed_log2, moving_log2;
  bool is_fused;  // the moving operand is scaled once more, by fused_scale()
};

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_TILE_PLAN_H_
