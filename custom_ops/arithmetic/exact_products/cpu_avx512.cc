#if defined(__x86_64__)

#include "arithmetic/exact_products/cpu_kernels.h"
#include "arithmetic/exact_products/odd_arithmetic.h"
#include "arithmetic/nearest/cpu_kernels.h"
#include "kernels/cpu/avx512.h"

namespace lba {
namespace {

struct Avx512ToOdd : Avx512 {
  static constexpr FpMode kOddMode = FpMode::kNearestFlush;
};

}  // namespace

const TileKernels& ExactNearestAvx512Kernels(const ShortCuts& cuts) {
  static const TileKernels kernels = MakeOddKernels<Avx512ToOdd>(NearestAvx512Kernels(cuts));
  return kernels;
}

}  // namespace lba

#endif  // __x86_64__
