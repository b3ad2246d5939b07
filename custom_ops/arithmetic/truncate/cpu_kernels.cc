#include "arithmetic/truncate/cpu_kernels.h"

namespace lba {

const TileKernels& TruncatingKernels([[maybe_unused]] CpuPath path, const ShortCuts& cuts) {
#if defined(__x86_64__)
  if (path == CpuPath::kAvx512) return TruncatingAvx512Kernels(cuts);
  if (path == CpuPath::kAvx2) return TruncatingAvx2Kernels(cuts);
#endif
  return TruncatingPortableKernels(cuts);
}

}  // namespace lba
