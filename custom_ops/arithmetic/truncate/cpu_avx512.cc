#if defined(__x86_64__)

#include "arithmetic/truncate/cpu_kernels.h"
#include "arithmetic/truncate/scaled_arithmetic.h"
#include "kernels/cpu/avx512.h"

namespace lba {

const TileKernels& TruncatingAvx512Kernels() {
  static const TileKernels kernels = MakeScaledKernels<Avx512>(CpuPath::kAvx512);
  return kernels;
}

}  // namespace lba

#endif  // __x86_64__
