// The kernels that compute tiles, by what they leave out.
#ifndef LBA_KERNELS_CUDA_PRODUCT_KERNELS_H_
#define LBA_KERNELS_CUDA_PRODUCT_KERNELS_H_

#include "arithmetic/truncate/short_cuts.h"
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

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_PRODUCT_KERNELS_H_
