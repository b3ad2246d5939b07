#if defined(__x86_64__)

#include "arithmetic/ieee/chain_arithmetic.h"
#include "arithmetic/ieee/cpu_kernels.h"
#include "kernels/cpu/avx2.h"

namespace lba {

const TileKernels& IeeeAvx2Kernels(IeeeChain) {
  static const TileKernels float32 = MakeChainKernels<FusedFloat32<Avx2>>(CpuPath::kAvx2);
  return float32;
}

}  // namespace lba

#endif  // __x86_64__
