// Scaled float32 in truncating instructions that flush (docs/design.md, "The scaled float32 kernel").
#ifndef LBA_KERNELS_CUDA_SCALED_ARITHMETIC_H_
#define LBA_KERNELS_CUDA_SCALED_ARITHMETIC_H_

#include "kernels/cuda/instructions.h"
#include "kernels/cuda/product_kernels.h"

namespace lba::cuda {

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

// A total as the caller sees it; zeros are positive.
__device__ inline float Unscaled(float total, const TileConstants& c) {
  return AddTruncated(MultiplyTruncated(MultiplyTruncated(total, c.unscale[0]), c.unscale[1]), 0.0f);
}

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_SCALED_ARITHMETIC_H_
