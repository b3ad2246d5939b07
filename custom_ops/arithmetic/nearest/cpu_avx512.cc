#if defined(__x86_64__)

#include "arithmetic/nearest/cpu_kernels.h"
#include "arithmetic/nearest/scaled_arithmetic.h"
#include "kernels/cpu/avx512.h"

namespace lba {

const TileKernels& NearestAvx512Kernels(const ShortCuts& cuts) {
  static const TileKernels chains[kSumSteps] = {MakeNearestKernels<Avx512, SumStep::kScaled>(CpuPath::kAvx512),
                                                MakeNearestKernels<Avx512, SumStep::kAdded>(CpuPath::kAvx512),
                                                MakeNearestKernels<Avx512, SumStep::kRescaled>(CpuPath::kAvx512)};
  static const TileKernels trees = MakeNearestTreeKernels<Avx512>(CpuPath::kAvx512);
  return cuts.order().is_tree ? trees : chains[static_cast<int>(cuts.sum_step())];
}

}  // namespace lba

#endif  // __x86_64__
