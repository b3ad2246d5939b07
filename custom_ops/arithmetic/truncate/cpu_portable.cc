#include "arithmetic/chunked_float/portable_arithmetic.h"
#include "arithmetic/truncate/cpu_kernels.h"

namespace lba {

const TileKernels& TruncatingPortableKernels(const ShortCuts& cuts) {
  static const TileKernels chains[] = {MakePortableKernels<Rounding::kTruncate>(FpMode::kTowardZero, false),
                                       MakePortableKernels<Rounding::kTruncate>(FpMode::kTowardZero, true)};
  static const TileKernels trees = MakePortableTreeKernels<Rounding::kTruncate>(FpMode::kTowardZero);
  return cuts.order().is_tree ? trees : chains[cuts.has_underflow() ? 1 : 0];
}

}  // namespace lba
