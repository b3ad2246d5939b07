#if defined(__x86_64__)

#include "arithmetic/exact_products/cpu_kernels.h"
#include "arithmetic/exact_products/odd_arithmetic.h"
#include "arithmetic/nearest/cpu_kernels.h"
#include "kernels/cpu/avx2.h"

namespace lba {
namespace {

struct Avx2WithIntegers : Avx2 {
  static constexpr FpMode kOddMode = FpMode::kUpwardFlush;

  static V IsZeroBits(V v) {
    return _mm256_castsi256_ps(_mm256_cmpeq_epi32(_mm256_castps_si256(v), _mm256_setzero_si256()));
  }
};

}  // namespace

const TileKernels& ExactNearestAvx2Kernels(const ShortCuts& cuts) {
  static const TileKernels kernels = MakeOddKernels<Avx2WithIntegers>(NearestAvx2Kernels(cuts));
  return kernels;
}

}  // namespace lba

#endif  // __x86_64__
