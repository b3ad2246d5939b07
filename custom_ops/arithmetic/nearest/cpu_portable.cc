#include "arithmetic/chunked_float/portable_arithmetic.h"
#include "arithmetic/nearest/cpu_kernels.h"

namespace lba {

const TileKernels& NearestPortableKernels(const ShortCuts& cuts) {
  static const TileKernels chains[] = {MakePortableKernels<Rounding::kNearest>(FpMode::kNearest, false),
                                       MakePortableKernels<Rounding::kNearest>(FpMode::kNearest, true)};
  static const TileKernels trees = MakePortableTreeKernels<Rounding::kNearest>(FpMode::kNearest);
  return cuts.order().is_tree ? trees : chains[cuts.has_underflow() ? 1 : 0];
}

}  // namespace lba
