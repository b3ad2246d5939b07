#include "arithmetic/nearest/cpu_kernels.h"

namespace lba {

const TileKernels& NearestKernels([[maybe_unused]] CpuPath path, const ShortCuts& cuts) {
#if defined(__x86_64__)
  if (path == CpuPath::kAvx512) return NearestAvx512Kernels(cuts);
  if (path == CpuPath::kAvx2) return NearestAvx2Kernels(cuts);
#endif
  return NearestPortableKernels(cuts);
}

}  // namespace lba
