#if defined(__x86_64__)

#include "arithmetic/nearest/cpu_kernels.h"
#include "arithmetic/nearest/scaled_arithmetic.h"
#include "kernels/cpu/avx2.h"

namespace lba {

const TileKernels& NearestAvx2Kernels(const ShortCuts& cuts) {
  static const TileKernels chains[kSumSteps] = {MakeNearestKernels<Avx2, SumStep::kScaled>(CpuPath::kAvx2),
                                                MakeNearestKernels<Avx2, SumStep::kAdded>(CpuPath::kAvx2),
                                                MakeNearestKernels<Avx2, SumStep::kRescaled>(CpuPath::kAvx2)};
  static const TileKernels trees = MakeNearestTreeKernels<Avx2>(CpuPath::kAvx2);
  return cuts.order().is_tree ? trees : chains[static_cast<int>(cuts.sum_step())];
}

}  // namespace lba

#endif  // __x86_64__
