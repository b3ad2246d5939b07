#if defined(__x86_64__)

#include "arithmetic/nearest/cpu_kernels.h"
#include "arithmetic/nearest/scaled_arithmetic.h"
#include "kernels/cpu/avx512.h"

namespace lba {

const TileKernels& NearestAvx512Kernels(bool flushes_sums) {
  static const TileKernels kernels = MakeNearestKernels<Avx512, false>(CpuPath::kAvx512);
  static const TileKernels flushing = MakeNearestKernels<Avx512, true>(CpuPath::kAvx512);
  return flushes_sums ? flushing : kernels;
}

}  // namespace lba

#endif  // __x86_64__
