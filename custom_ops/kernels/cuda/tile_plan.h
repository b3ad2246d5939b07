// What a block finds out about its tile before it computes it.
#ifndef LBA_KERNELS_CUDA_TILE_PLAN_H_
#define LBA_KERNELS_CUDA_TILE_PLAN_H_

#include "kernels/cuda/operand.h"
#include "kernels/cuda/product_kernels.h"
#include "kernels/cuda/scaled_arithmetic.h"

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

// The kernel for a tile of the moving and the fixed operand; the wholes decide the scales and what can be fused.
__device__ inline ProductKernel PlanTile(const ShortCuts& cuts, const TileRange& moving, const TileRange& fixed,
                                         const ValueRange& whole_moving, const ValueRange& whole_fixed) {
  const ProductPlan plan = PlanProduct(cuts, whole_moving, whole_fixed);
  if (!cuts.FitsScaled(moving.range, fixed.range, plan.fixed_log2)) return ProductKernel::kExact;
  return KernelOf(cuts.Variant(moving.bounds, fixed.bounds, plan.is_fused));
}

// Calls function(arithmetic) with the arithmetic of a kernel other than kExact.
template <class Function>
__device__ __forceinline__ void WithArithmetic(ProductKernel kernel, const TileConstants& constants,
                                               const Function& function) {
  switch (kernel) {
    case ProductKernel::kFused:
      return function(ScaledArithmetic<ProductKernel::kFused>(constants));
    case ProductKernel::kFusedSaturate:
      return function(ScaledArithmetic<ProductKernel::kFusedSaturate>(constants));
    case ProductKernel::kExactProducts:
      return function(ScaledArithmetic<ProductKernel::kExactProducts>(constants));
    case ProductKernel::kTruncate:
      return function(ScaledArithmetic<ProductKernel::kTruncate>(constants));
    case ProductKernel::kTruncateSaturate:
      return function(ScaledArithmetic<ProductKernel::kTruncateSaturate>(constants));
    case ProductKernel::kSaturate:
    case ProductKernel::kExact:
      return function(ScaledArithmetic<ProductKernel::kSaturate>(constants));
  }
}

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_TILE_PLAN_H_
