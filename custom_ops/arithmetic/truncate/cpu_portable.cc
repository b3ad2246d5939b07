#include "arithmetic/chunked_float/portable_arithmetic.h"
#include "arithmetic/truncate/cpu_kernels.h"

namespace lba {

const TileKernels& TruncatingPortableKernels() {
  static const TileKernels kernels = MakePortableKernels<Rounding::kTruncate>(FpMode::kTowardZero);
  return kernels;
}

}  // namespace lba
