#if defined(__x86_64__)

#include "arithmetic/nearest/cpu_kernels.h"
#include "arithmetic/nearest/scaled_arithmetic.h"
#include "kernels/cpu/avx512.h"

namespace lba {

const TileKernels& NearestAvx512Kernels(SumStep sum_step) {
  static const TileKernels kernels[kSumSteps] = {MakeNearestKernels<Avx512, SumStep::kScaled>(CpuPath::kAvx512),
                                                 MakeNearestKernels<Avx512, SumStep::kAdded>(CpuPath::kAvx512),
                                                 MakeNearestKernels<Avx512, SumStep::kRescaled>(CpuPath::kAvx512)};
  return kernels[static_cast<int>(sum_step)];
}

}  // namespace lba

#endif  // __x86_64__
