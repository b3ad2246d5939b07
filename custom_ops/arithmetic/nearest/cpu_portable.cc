#include "arithmetic/chunked_float/portable_arithmetic.h"
#include "arithmetic/nearest/cpu_kernels.h"

namespace lba {

const TileKernels& NearestPortableKernels() {
  static const TileKernels kernels = MakePortableKernels<Rounding::kNearest>(FpMode::kNearest);
  return kernels;
}

}  // namespace lba
