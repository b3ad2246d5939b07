// Truncation on a CUDA device: scaled float32 in truncating instructions that flush (docs/design.md, "The scaled
// float32 kernel"), and the kind that kernels/cuda/tile_plan.h describes.
#ifndef LBA_ARITHMETIC_TRUNCATE_CUDA_STEPS_H_
#define LBA_ARITHMETIC_TRUNCATE_CUDA_STEPS_H_

#include "arithmetic/chunked_float/statistics_chain.h"
#include "arithmetic/truncate/short_cuts.h"
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
    case ProductStep::kTruncate:
      break;
  }
  return variant.saturates_partial_sum ? ProductKernel::kTruncateSaturate : ProductKernel::kTruncate;
}

// A format's largest value, and its mask, as SaturateAndKeep wants them.
struct Clamp {
  float largest;
  uint32_t kept;

  __device__ static Clamp Of(float max_value, uint32_t kept_bits) {
    return {__uint_as_float(__float_as_uint(max_value) | ~kept_bits), kept_bits & 0x7fffffffu};
  }
  __device__ float operator()(float value) const { return SaturateAndKeep(value, largest, kept); }
};

template <ProductKernel kKernel>
class ScaledArithmetic {
 public:
  __device__ explicit ScaledArithmetic(const TileConstants& c)
      : product_clamp_(Clamp::Of(c.product_max, c.product_kept_bits)),
        accumulator_clamp_(Clamp::Of(c.accumulator_max, c.accumulator_kept_bits)),
        product_kept_(c.product_kept_bits),
        accumulator_kept_(c.accumulator_kept_bits),
        product_to_accumulator_(c.product_to_accumulator) {}

  // Q_acc(Q_prod(x * w) + sum)
  __device__ float Step(float sum, float x, float w) const {
    if constexpr (kIsFused) return Quantized(MultiplyAddTruncated(x, w, sum));
    float product = MultiplyTruncated(x, w);
    if constexpr (kKernel == ProductKernel::kSaturate) {
      product = product_clamp_(product);
    } else if constexpr (kKernel != ProductKernel::kExactProducts) {
      product = KeepBits(product, product_kept_);
    }
    return Quantized(MultiplyAddTruncated(product, product_to_accumulator_, sum));
  }

  // Q_acc(total + sum)
  __device__ float Join(float total, float sum) const { return accumulator_clamp_(AddTruncated(total, sum)); }

 private:
  static constexpr bool kIsFused = kKernel == ProductKernel::kFused || kKernel == ProductKernel::kFusedSaturate;
  static constexpr bool kClampsSums = kKernel == ProductKernel::kFusedSaturate ||
                                      kKernel == ProductKernel::kTruncateSaturate ||
                                      kKernel == ProductKernel::kSaturate;

  __device__ float Quantized(float sum) const {
    return kClampsSums ? accumulator_clamp_(sum) : KeepBits(sum, accumulator_kept_);
  }

  Clamp product_clamp_, accumulator_clamp_;
  uint32_t product_kept_, accumulator_kept_;
  float product_to_accumulator_;
};

class TruncatingKind {
 public:
  using Spec = AccumulatorSpec;
  using Definition = ChunkedFloatDefinition<TileConstants>;
  static constexpr int kExact = static_cast<int>(ProductKernel::kExact);

  TruncatingKind(const AccumulatorSpec& spec, int64_t depth) : cuts_(spec, depth) {}

  LBA_HOST_DEVICE int64_t chunk() const { return cuts_.chunk(); }
  LBA_HOST_DEVICE int FixedScaleLog2(const ValueRange& fixed) const { return cuts_.FixedScaleLog2(fixed); }
  LBA_HOST_DEVICE ProductPlan PlanProduct(const ValueRange& moving, const ValueRange& fixed) const {
    const int fixed_log2 = cuts_.FixedScaleLog2(fixed);
    const bool is_fused = cuts_.FitsScaled(moving, fixed, fixed_log2) && cuts_.CanFuse(moving, fixed, fixed_log2);
    return {fixed_log2, cuts_.MovingScaleLog2(fixed_log2), is_fused};
  }
  // From the scale of the products to that of the accumulator.
  LBA_HOST_DEVICE float fused_scale() const { return cuts_.constants().product_to_accumulator; }

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

  __device__ float Unscaled(float total) const {
    const TileConstants& c = cuts_.constants();
    return AddTruncated(MultiplyTruncated(MultiplyTruncated(total, c.unscale[0]), c.unscale[1]), 0.0f);
  }

  LBA_HOST_DEVICE Definition definition() const { return Definition(cuts_.constants()); }
  ChunkedFloatChains chains() const { return {cuts_.constants().definition}; }

 private:
  ShortCuts cuts_;
};

}  // namespace lba::cuda

#endif  // LBA_ARITHMETIC_TRUNCATE_CUDA_STEPS_H_
