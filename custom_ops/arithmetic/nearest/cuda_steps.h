// Rounding to nearest on a CUDA device: scaled float32 in instructions that round to nearest even and flush
// (docs/design.md, "Rounding to nearest").
#ifndef LBA_ARITHMETIC_NEAREST_CUDA_STEPS_H_
#define LBA_ARITHMETIC_NEAREST_CUDA_STEPS_H_

#include "arithmetic/chunked_float/cuda_kind.h"

namespace lba::cuda {

template <ProductKernel kKernel>
class NearestArithmetic {
 public:
  static constexpr int kSparedBlocks = 2;  // more constants than truncation has: 128 registers are too few

  __device__ explicit NearestArithmetic(const TileConstants& c)
      : product_max_(c.product_max),
        accumulator_max_(c.accumulator_max),
        product_factor_(c.rescales_sums ? 1.0f : c.product_to_accumulator),
        sum_factor_(c.rescales_sums ? c.accumulator_to_product : 1.0f),
        rounded_factor_(c.rescales_sums ? c.product_to_accumulator : 1.0f),
        product_shift_(c.product_shift << 23),
        accumulator_shift_(c.accumulator_shift << 23),
        sum_shift_(accumulator_shift_ + ExponentBits(rounded_factor_)) {}

  // Q_acc(Q_prod(x * w) + sum)
  __device__ float Step(float sum, float x, float w) const {
    const float before = MultiplyNearest(sum, sum_factor_);
    const float exact = IsFused(kKernel) ? MultiplyAddNearest(x, w, before)
                                         : MultiplyAddNearest(Product(x, w), product_factor_, before);
    const float rounded = Rounded(exact, rounded_factor_, sum_shift_);
    return SaturatesSums(kKernel) ? Saturated(rounded, accumulator_max_) : rounded;
  }

  // Q_acc(total + sum)
  __device__ float Join(float total, float sum) const {
    return Saturated(Rounded(AddNearest(total, sum), 1.0f, accumulator_shift_), accumulator_max_);
  }

 private:
  static constexpr uint32_t kPowerBits = 0xff800000u;

  // What takes a float's bits to those of its product with a power of two.
  __device__ static uint32_t ExponentBits(float power) { return __float_as_uint(power) - __float_as_uint(1.0f); }

  __device__ static float Saturated(float value, float max) { return SaturateAndKeep(value, max, 0x7fffffffu); }

  __device__ float Product(float x, float w) const {
    if constexpr (kKernel == ProductKernel::kExactProducts) return MultiplyNearest(x, w);
    const float shifted = __uint_as_float(__float_as_uint(w) + product_shift_);
    const float power = KeepBits(MultiplyNearest(x, shifted), kPowerBits);
    const float product = AddNearest(MultiplyAddNearest(x, w, power), -power);
    return kKernel == ProductKernel::kSaturate ? Saturated(product, product_max_) : product;
  }

  // Of value * factor. The power of two of zero is tiny, and leaves zero.
  __device__ static float Rounded(float value, float factor, uint32_t shift) {
    const float power = __uint_as_float((__float_as_uint(value) & kPowerBits) + shift);
    return AddNearest(MultiplyAddNearest(value, factor, power), -power);
  }

  float product_max_, accumulator_max_, product_factor_, sum_factor_, rounded_factor_;
  uint32_t product_shift_, accumulator_shift_, sum_shift_;
};

using NearestKind = ChunkedFloatKind<NearestArithmetic>;
using NearestLevelsKind = ChunkedFloatLevelsKind<NearestArithmetic>;

}  // namespace lba::cuda

#endif  // LBA_ARITHMETIC_NEAREST_CUDA_STEPS_H_
