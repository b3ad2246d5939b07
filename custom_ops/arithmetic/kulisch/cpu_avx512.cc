#if defined(__x86_64__)

#include "arithmetic/kulisch/binned_kernel.h"
#include "arithmetic/kulisch/cpu_kernels.h"

namespace lba {

const TileKernels& KulischAvx512Kernels() {
  static const TileKernels kernels = MakeBinnedKernels<Doubles8>(CpuPath::kAvx512);
  return kernels;
}

}  // namespace lba

#endif  // __x86_64__
