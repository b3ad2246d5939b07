// Truncation on a CUDA device: scaled float32 in truncating instructions that flush (docs/design.md, "The scaled
// float32 kernel").
#ifndef LBA_ARITHMETIC_TRUNCATE_CUDA_STEPS_H_
#define LBA_ARITHMETIC_TRUNCATE_CUDA_STEPS_H_

#include "arithmetic/chunked_float/cuda_kind.h"

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
class TruncatingArithmetic {
 public:
  static constexpr int kSparedBlocks = 0;

  __device__ explicit TruncatingArithmetic(const TileConstants& c)
      : product_clamp_(Clamp::Of(c.product_max, c.product_kept_bits)),
        accumulator_clamp_(Clamp::Of(c.accumulator_max, c.accumulator_kept_bits)),
        product_kept_(c.product_kept_bits),
        accumulator_kept_(c.accumulator_kept_bits),
        product_to_accumulator_(c.product_to_accumulator) {}

  // Q_acc(Q_prod(x * w) + sum)
  __device__ float Step(float sum, float x, float w) const {
    if constexpr (IsFused(kKernel)) return Quantized(MultiplyAddTruncated(x, w, sum));
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
  __device__ float Quantized(float sum) const {
    return SaturatesSums(kKernel) ? accumulator_clamp_(sum) : KeepBits(sum, accumulator_kept_);
  }

  Clamp product_clamp_, accumulator_clamp_;
  uint32_t product_kept_, accumulator_kept_;
  float product_to_accumulator_;
};

using TruncatingKind = ChunkedFloatKind<TruncatingArithmetic>;
using TruncatingLevelsKind = ChunkedFloatLevelsKind<TruncatingArithmetic>;

}  // namespace lba::cuda

#endif  // LBA_ARITHMETIC_TRUNCATE_CUDA_STEPS_H_
