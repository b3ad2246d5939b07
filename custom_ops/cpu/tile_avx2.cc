// AVX2: scaled float32 (scaled_arithmetic.h).
#if defined(__x86_64__)

#include "cpu/float8.h"
#include "cpu/scaled_arithmetic.h"

namespace lba {
namespace {

struct Avx2 : Float8Operations {
  static constexpr int kRows = 4, kVectors = 2, kDirectVectors = 8;

  static V Saturate(V value, V max) {
    return _mm256_max_ps(_mm256_min_ps(value, max), _mm256_sub_ps(_mm256_setzero_ps(), max));
  }
};

}  // namespace

const TileKernels& Avx2Kernels() {
  static const TileKernels kernels = MakeScaledKernels<Avx2>(CpuPath::kAvx2, TileExtremes<Doubles4>);
  return kernels;
}

ScalePanelKernel Avx2ScalePanel() { return ScalePanel; }

}  // namespace lba

#endif  // __x86_64__
