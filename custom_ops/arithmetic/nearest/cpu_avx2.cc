#if defined(__x86_64__)

#include "arithmetic/nearest/cpu_kernels.h"
#include "arithmetic/nearest/scaled_arithmetic.h"
#include "kernels/cpu/avx2.h"

namespace lba {

const TileKernels& NearestAvx2Kernels(SumStep sum_step) {
  static const TileKernels kernels[kSumSteps] = {MakeNearestKernels<Avx2, SumStep::kScaled>(CpuPath::kAvx2),
                                                 MakeNearestKernels<Avx2, SumStep::kAdded>(CpuPath::kAvx2),
                                                 MakeNearestKernels<Avx2, SumStep::kRescaled>(CpuPath::kAvx2)};
  return kernels[static_cast<int>(sum_step)];
}

}  // namespace lba

#endif  // __x86_64__
