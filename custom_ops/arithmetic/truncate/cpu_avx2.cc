#if defined(__x86_64__)

#include "arithmetic/truncate/cpu_kernels.h"
#include "arithmetic/truncate/scaled_arithmetic.h"
#include "kernels/cpu/avx2.h"

namespace lba {

const TileKernels& TruncatingAvx2Kernels(const ShortCuts& cuts) {
  static const TileKernels chains = MakeScaledKernels<Avx2>(CpuPath::kAvx2);
  static const TileKernels trees = MakeScaledTreeKernels<Avx2>(CpuPath::kAvx2);
  return cuts.order().is_tree ? trees : chains;
}

}  // namespace lba

#endif  // __x86_64__
