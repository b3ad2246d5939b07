#if defined(__x86_64__)

#include "arithmetic/kulisch/binned_kernel.h"
#include "arithmetic/kulisch/cpu_kernels.h"

namespace lba {

const TileKernels& KulischAvx2Kernels() {
  static const TileKernels kernels = MakeBinnedKernels<Doubles4>(CpuPath::kAvx2);
  return kernels;
}

}  // namespace lba

#endif  // __x86_64__
