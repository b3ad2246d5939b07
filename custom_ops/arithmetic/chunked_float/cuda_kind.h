// What every rounding of chunked floats brings to a CUDA device: the kind that kernels/cuda/tile_plan.h describes, on
// the steps of the rounding.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_CUDA_KIND_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_CUDA_KIND_H_

#include "arithmetic/chunked_float/ruled_chains.h"
#include "arithmetic/chunked_float/short_cuts.h"
#include "arithmetic/chunked_float/statistics_chain.h"
#include "common/defined_dot.h"
#include "kernels/cuda/exact_dot.h"
#include "kernels/cuda/instructions.h"
#include "kernels/cuda/tile_plan.h"
#include "lba/cuda_api.h"

namespace lba::cuda {

// In the order of LBA_CUDA_KERNELS. All but the last are scaled float32.
enum class ProductKernel {
  kFused,             // products exact and inside the format: one multiplication and addition, one mask
  kFusedSaturate,     // and partial sums are clamped
  kExactProducts,     // products have no mantissa bits to drop
  kTruncate,          // nothing is clamped but the total
  kTruncateSaturate,  // partial sums are clamped
  kSaturate,          // products and partial sums are clamped
  kExact,             // one value at a time, in double: any operands, any format
};

LBA_HOST_DEVICE inline ProductKernel KernelOf(const TileVariant& variant) {
  switch (variant.product) {
    case ProductStep::kFused:
      return variant.saturates_partial_sum ? ProductKernel::kFusedSaturate : ProductKernel::kFused;
    case ProductStep::kSaturate:
      return ProductKernel::kSaturate;
    case ProductStep::kExact:
      if (!variant.saturates_partial_sum) return ProductKernel::kExactProducts;
      break;
    case ProductStep::kRound:
      break;
  }
  return variant.saturates_partial_sum ? ProductKernel::kTruncateSaturate : ProductKernel::kTruncate;
}

constexpr bool IsFused(ProductKernel kernel) {
  return kernel == ProductKernel::kFused || kernel == ProductKernel::kFusedSaturate;
}
constexpr bool SaturatesSums(ProductKernel kernel) {
  return kernel == ProductKernel::kFusedSaturate || kernel == ProductKernel::kTruncateSaturate ||
         kernel == ProductKernel::kSaturate;
}

// ScaledArithmetic<kernel>, made from TileConstants, brings Step(sum, x, w), Join(total, sum) and kSparedBlocks.
template <template <ProductKernel> class ScaledArithmetic>
class ChunkedFloatKind {
 public:
  using Spec = AccumulatorSpec;
  using Definition = ChunkedFloatDefinition<TileConstants>;
  static constexpr int kExact = static_cast<int>(ProductKernel::kExact);
  static constexpr int kOuterSums = 0, kGroups = 1;
  static constexpr int kSparedBlocks = ScaledArithmetic<ProductKernel::kFused>::kSparedBlocks;

  ChunkedFloatKind(const AccumulatorSpec& spec, int64_t depth) : cuts_(spec, depth) {}

  LBA_HOST_DEVICE const SumOrder& order() const { return cuts_.order(); }
  LBA_HOST_DEVICE int64_t chunk() const { return order().chunk(); }
  LBA_HOST_DEVICE int FixedScaleLog2(const ValueRange& fixed) const { return cuts_.FixedScaleLog2(fixed); }
  LBA_HOST_DEVICE ProductPlan PlanProduct(const ValueRange& moving, const ValueRange& fixed) const {
    const int fixed_log2 = cuts_.FixedScaleLog2(fixed);
    const bool is_fused = cuts_.FitsScaled(moving, fixed, fixed_log2) && cuts_.CanFuse(moving, fixed, fixed_log2);
    return {fixed_log2, cuts_.MovingScaleLog2(fixed_log2), is_fused};
  }
  // From the scale of the products to that of the accumulator.
  LBA_HOST_DEVICE float fused_scale() const { return cuts_.fused_scale(); }

  __device__ int KernelFor(const TileRange& moving, const TileRange& fixed, const ValueRange& whole_moving,
                           const ValueRange& whole_fixed) const {
    const ProductPlan plan = PlanProduct(whole_moving, whole_fixed);
    if (!cuts_.FitsScaled(moving.range, fixed.range, plan.fixed_log2)) return kExact;
    return static_cast<int>(KernelOf(cuts_.Variant(moving.bounds, fixed.bounds, plan.is_fused)));
  }

  template <class Function>
  __device__ __forceinline__ void WithSteps(int kernel, const Function& function) const {
    const TileConstants& c = cuts_.constants();
    switch (static_cast<ProductKernel>(kernel)) {
      case ProductKernel::kFused:
        return function(ScaledArithmetic<ProductKernel::kFused>(c));
      case ProductKernel::kFusedSaturate:
        return function(ScaledArithmetic<ProductKernel::kFusedSaturate>(c));
      case ProductKernel::kExactProducts:
        return function(ScaledArithmetic<ProductKernel::kExactProducts>(c));
      case ProductKernel::kTruncate:
        return function(ScaledArithmetic<ProductKernel::kTruncate>(c));
      case ProductKernel::kTruncateSaturate:
        return function(ScaledArithmetic<ProductKernel::kTruncateSaturate>(c));
      case ProductKernel::kSaturate:
      case ProductKernel::kExact:
        return function(ScaledArithmetic<ProductKernel::kSaturate>(c));
    }
  }

  // Exact, whatever the rounding.
  __device__ float Unscaled(float total) const {
    const TileConstants& c = cuts_.constants();
    return AddTruncated(MultiplyTruncated(MultiplyTruncated(total, c.unscale[0]), c.unscale[1]), 0.0f);
  }

  template <class Read>
  __device__ float Dot(int64_t depth, const Read& read) const {
    return ExactDot(definition(), depth, chunk(), read);
  }
  static ChunkedFloatChains ChainsOf(const Spec& spec) { return {ChunkedFloatConstants::Of(spec)}; }

 protected:
  __device__ Definition definition() const { return Definition(cuts_.constants()); }

 private:
  ShortCuts cuts_;
};

// The same for sums of chunks that are summed in chains of their own, and so on.
template <template <ProductKernel> class ScaledArithmetic>
class ChunkedFloatLevelsKind : public ChunkedFloatKind<ScaledArithmetic> {
 public:
  static constexpr int kOuterSums = SumOrder::kMostLevels - 1, kGroups = kMaxGroups;
  static constexpr int kSparedBlocks = 2;  // places in memory are kept besides: 128 registers are too few
  using ChunkedFloatKind<ScaledArithmetic>::ChunkedFloatKind;

  template <class Read>
  __device__ float Dot(int64_t depth, const Read& read) const {
    return DefinedDot(this->definition(), depth, this->order(), {}, read);
  }
  static RuledChains ChainsOf(const AccumulatorSpec& spec) { return RuledChains(spec); }
};

}  // namespace lba::cuda

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_CUDA_KIND_H_
