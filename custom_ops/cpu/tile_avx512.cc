// AVX-512: scaled float32 (scaled_arithmetic.h).
#if defined(__x86_64__)

#include <immintrin.h>

#include "cpu/float8.h"
#include "cpu/scaled_arithmetic.h"

namespace lba {
namespace {

// Half a vector, with AVX-512's instructions and registers.
struct Avx512Half : Float8Operations {
  static constexpr int kRows = 8, kVectors = 1, kDirectVectors = 1;

  static V Saturate(V value, V max) { return _mm256_range_ps(value, max, 2); }
};

struct Avx512 {
  using V = __m512;
  using Half = Avx512Half;
  static constexpr int kLanes = 16, kRows = 8, kVectors = 2, kDirectVectors = 8;

  static V Zero() { return _mm512_setzero_ps(); }
  static V Load(const float* p) { return _mm512_loadu_ps(p); }
  static V Set(float value) { return _mm512_set1_ps(value); }
  static V Bits(uint32_t bits) { return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(bits))); }
  static void Store(float* p, V value) { _mm512_storeu_ps(p, value); }
  static V And(V a, V b) { return _mm512_and_ps(a, b); }
  static V Add(V a, V b) { return _mm512_add_ps(a, b); }
  static V Multiply(V a, V b) { return _mm512_mul_ps(a, b); }
  static V MultiplyAdd(V a, V b, V c) { return _mm512_fmadd_ps(a, b, c); }
  static V Saturate(V value, V max) { return _mm512_range_ps(value, max, 2); }
};

}  // namespace

const TileKernels& Avx512Kernels() {
  static const TileKernels kernels = MakeScaledKernels<Avx512>(CpuPath::kAvx512, TileExtremes<Doubles8>);
  return kernels;
}

ScalePanelKernel Avx512ScalePanel() { return ScalePanel; }

}  // namespace lba

#endif  // __x86_64__
