#if defined(__x86_64__)

#include "arithmetic/nearest/cpu_kernels.h"
#include "arithmetic/nearest/scaled_arithmetic.h"
#include "kernels/cpu/avx2.h"

namespace lba {

const TileKernels& NearestAvx2Kernels(bool flushes_sums) {
  static const TileKernels kernels = MakeNearestKernels<Avx2, false>(CpuPath::kAvx2);
  static const TileKernels flushing = MakeNearestKernels<Avx2, true>(CpuPath::kAvx2);
  return flushes_sums ? flushing : kernels;
}

}  // namespace lba

#endif  // __x86_64__
