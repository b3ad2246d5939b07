// AVX2: scaled float32 (scaled_arithmetic.h).
#if defined(__x86_64__)

#include <immintrin.h>

#include "cpu/scaled_arithmetic.h"

namespace lba {
namespace {

struct Avx2 {
  using V = __m256;
  using Half = void;
  static constexpr int kLanes = 8, kRows = 4, kVectors = 2, kDirectVectors = 8;

  static V Zero() { return _mm256_setzero_ps(); }
  static V Load(const float* p) { return _mm256_loadu_ps(p); }
  static V Set(float value) { return _mm256_set1_ps(value); }
  static V Bits(uint32_t bits) { return _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(bits))); }
  static void Store(float* p, V value) { _mm256_storeu_ps(p, value); }
  static V And(V a, V b) { return _mm256_and_ps(a, b); }
  static V Add(V a, V b) { return _mm256_add_ps(a, b); }
  static V Multiply(V a, V b) { return _mm256_mul_ps(a, b); }
  static V MultiplyAdd(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
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
