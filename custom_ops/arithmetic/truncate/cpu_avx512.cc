#if defined(__x86_64__)

#include "arithmetic/truncate/cpu_kernels.h"
#include "arithmetic/truncate/scaled_arithmetic.h"
#include "kernels/cpu/avx512.h"

namespace lba {

const TileKernels& TruncatingAvx512Kernels(const ShortCuts& cuts) {
  static const TileKernels chains = MakeScaledKernels<Avx512>(CpuPath::kAvx512);
  static const TileKernels trees = MakeScaledTreeKernels<Avx512>(CpuPath::kAvx512);
  return cuts.order().is_tree ? trees : chains;
}

}  // namespace lba

#endif  // __x86_64__
