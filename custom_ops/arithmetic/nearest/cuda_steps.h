// Rounding to nearest on a CUDA device: scaled float32 in instructions that round to nearest even and flush
// (docs/design.md, "Rounding to nearest").
#ifndef LBA_ARITHMETIC_NEAREST_CUDA_STEPS_H_
#define LBA_ARITHMETIC_NEAREST_CUDA_STEPS_H_

#include "arithmetic/chunked_float/cuda_kind.h"

namespace lba::cuda {

template <ProductKernel kKernel>
class NearestArithmetic {
 public:
  __device__ explicit NearestArithmetic(const TileConstants& c)
      : product_max_(c.product_max),
        accumulator_max_(c.accumulator_max),
        product_to_accumulator_(c.product_to_accumulator),
        accumulator_power_(static_cast<float>(1u << c.accumulator_shift)),
        product_shift_(c.product_shift << 23),
        flushed_sum_bits_(c.flushed_sum_bits) {}

  // Q_acc(Q_prod(x * w) + sum)
  __device__ float Step(float sum, float x, float w) const {
    if constexpr (IsFused(kKernel)) return Quantized(MultiplyAddNearest(x, w, sum));
    return Quantized(MultiplyAddNearest(Product(x, w), product_to_accumulator_, sum));
  }

  // Q_acc(total + sum)
  __device__ float Join(float total, float sum) const {
    return Saturated(Rounded(AddNearest(total, sum)), accumulator_max_);
  }

 private:
  static constexpr uint32_t kPowerBits = 0xff800000u;

  __device__ static float Saturated(float value, float max) { return SaturateAndKeep(value, max, 0x7fffffffu); }

  __device__ float Product(float x, float w) const {
    if constexpr (kKernel == ProductKernel::kExactProducts) return MultiplyNearest(x, w);
    const float shifted = __uint_as_float(__float_as_uint(w) + product_shift_);
    const float power = KeepBits(MultiplyNearest(x, shifted), kPowerBits);
    const float product = AddNearest(MultiplyAddNearest(x, w, power), -power);
    return kKernel == ProductKernel::kSaturate ? Saturated(product, product_max_) : product;
  }

  __device__ float Rounded(float value) const {
    const float power = KeepBits(value, kPowerBits);
    const float shifted = MultiplyAddNearest(power, accumulator_power_, value);
    const float rounded = MultiplyAddNearest(power, -accumulator_power_, shifted);
    return (__float_as_uint(shifted) & 0x7fffffffu) > flushed_sum_bits_ ? rounded : 0.0f;
  }

  __device__ float Quantized(float sum) const {
    return SaturatesSums(kKernel) ? Saturated(Rounded(sum), accumulator_max_) : Rounded(sum);
  }

  float product_max_, accumulator_max_, product_to_accumulator_, accumulator_power_;
  uint32_t product_shift_, flushed_sum_bits_;
};

using NearestKind = ChunkedFloatKind<NearestArithmetic>;

}  // namespace lba::cuda

#endif  // LBA_ARITHMETIC_NEAREST_CUDA_STEPS_H_
