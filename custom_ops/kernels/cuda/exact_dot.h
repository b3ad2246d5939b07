// One dot product by a kind's definition, in chunks: any operands, NaN and infinity included.
#ifndef LBA_KERNELS_CUDA_EXACT_DOT_H_
#define LBA_KERNELS_CUDA_EXACT_DOT_H_

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

namespace lba::cuda {

// A Definition is that of common/defined_dot.h. `read(k, &x, &w)` gives the operands of product k.
template <class Definition, class Read>
__device__ float ExactDot(const Definition& definition, int64_t depth, int64_t chunk, const Read& read) {
  typename Definition::State total = Definition::Start();
  for (int64_t begin = 0; begin < depth; begin += chunk) {
    const int64_t end = std::min(begin + chunk, depth);
    typename Definition::State sum = Definition::Start();
    for (int64_t k = begin; k < end; ++k) {
      float x, w;
      read(k, &x, &w);
      sum = definition.Step(sum, x, w);
    }
    total = definition.Join(total, sum);
  }
  return definition.Finish(total);
}

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_EXACT_DOT_H_
