#include "arithmetic/chunked_float/portable_arithmetic.h"
#include "arithmetic/truncate/cpu_kernels.h"

namespace lba {

const TileKernels& TruncatingPortableKernels(const ShortCuts& cuts) {
  return PortableKernels<Rounding::kTruncate>(FpMode::kTowardZero, cuts);
}

}  // namespace lba
