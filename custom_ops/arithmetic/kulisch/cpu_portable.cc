#include "arithmetic/kulisch/binned_kernel.h"
#include "arithmetic/kulisch/cpu_kernels.h"

namespace lba {

const TileKernels& KulischPortableKernels() {
  static const TileKernels kernels = MakeBinnedKernels<Doubles2>(CpuPath::kPortable);
  return kernels;
}

}  // namespace lba
