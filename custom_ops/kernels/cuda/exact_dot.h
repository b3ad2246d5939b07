// One dot product by the definition (lba/fmaq.h): any operands, NaN and infinity included, and any format.
#ifndef LBA_KERNELS_CUDA_EXACT_DOT_H_
#define LBA_KERNELS_CUDA_EXACT_DOT_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "arithmetic/truncate/short_cuts.h"

namespace lba::cuda {

// `read(k, &x, &w)` gives the operands of product k.
template <class Read>
__device__ float ExactDot(const TileConstants& c, int64_t depth, int64_t chunk, const Read& read) {
  double total = 0;
  for (int64_t begin = 0; begin < depth; begin += chunk) {
    const int64_t end = std::min(begin + chunk, depth);
    double sum = 0;
    for (int64_t k = begin; k < end; ++k) {
      float x, w;
      read(k, &x, &w);
      sum = QuantizedSum(QuantizedProduct(x, w, c.definition.product), sum, c.definition.accumulator);
    }
    total = QuantizedSum(sum, total, c.definition.accumulator);
  }
  return static_cast<float>(total + 0.0);
}

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_EXACT_DOT_H_
