#include "arithmetic/chunked_float/portable_arithmetic.h"
#include "arithmetic/nearest/cpu_kernels.h"

namespace lba {

const TileKernels& NearestPortableKernels(const ShortCuts& cuts) {
  return PortableKernels<Rounding::kNearest>(FpMode::kNearest, cuts);
}

}  // namespace lba
