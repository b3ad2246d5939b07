#if defined(__x86_64__)

#include "arithmetic/truncate/cpu_kernels.h"
#include "arithmetic/truncate/scaled_arithmetic.h"
#include "kernels/cpu/avx2.h"

namespace lba {

const TileKernels& TruncatingAvx2Kernels() {
  static const TileKernels kernels = MakeScaledKernels<Avx2>(CpuPath::kAvx2);
  return kernels;
}

}  // namespace lba

#endif  // __x86_64__
