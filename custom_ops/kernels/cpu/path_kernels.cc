#include "kernels/cpu/path_kernels.h"

namespace lba {

#if defined(__x86_64__)
const PathKernels& Avx512PathKernels();
const PathKernels& Avx2PathKernels();
#endif
const PathKernels& PortablePathKernels();

const PathKernels& PathKernelsOf(CpuPath path) {
#if defined(__x86_64__)
  if (path == CpuPath::kAvx512) return Avx512PathKernels();
  if (path == CpuPath::kAvx2) return Avx2PathKernels();
#endif
  (void)path;
  return PortablePathKernels();
}

}  // namespace lba
