// The vectors of AVX2, for steps of an arithmetic (such as arithmetic/truncate/scaled_arithmetic.h) and for
// gradient_kernel.h. Include it only from files that are compiled for it.
#ifndef LBA_KERNELS_CPU_AVX2_H_
#define LBA_KERNELS_CPU_AVX2_H_

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/float8.h"

namespace lba {
namespace {  // each file has its own copy

struct Avx2 : Float8Operations {
  static constexpr int kRows = 4, kVectors = 2, kDirectVectors = 8;

  static V Saturate(V value, V max) {
    return _mm256_max_ps(_mm256_min_ps(value, max), _mm256_sub_ps(_mm256_setzero_ps(), max));
  }
  // Under FpMode::kUpward or kUpwardFlush, where the negative sum's rounding is this one's downward: truncated to 24
  // bits, the last one set where that is not exact; a zero of both signs is positive.
  static V OddMultiplyAdd(V a, V b, V c) {
    const V up = MultiplyAdd(a, b, c), minus_down = _mm256_fnmsub_ps(a, b, c);
    const V down = _mm256_xor_ps(minus_down, _mm256_set1_ps(-0.0f));
    const V is_odd = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(minus_down), 31));
    return _mm256_blendv_ps(up, down, is_odd);
  }

  // For gradient_kernel.h.
  static V MultiplyAddWhere(uint32_t bits, V a, V b, V sum) {
    const __m256i lane = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    const __m256i open = _mm256_and_si256(_mm256_set1_epi32(static_cast<int>(bits)), lane);
    const V is_open = _mm256_castsi256_ps(_mm256_cmpeq_epi32(open, lane));
    return _mm256_add_ps(sum, _mm256_and_ps(_mm256_mul_ps(a, b), is_open));
  }
  template <int kCount>
  static void AddSums(const V (&vectors)[kCount], float* out) {
    if constexpr (kCount == 4) {
      const V pairs = _mm256_hadd_ps(_mm256_hadd_ps(vectors[0], vectors[1]), _mm256_hadd_ps(vectors[2], vectors[3]));
      const __m128 sums = _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
      _mm_storeu_ps(out, _mm_add_ps(_mm_loadu_ps(out), sums));
    } else {
      for (int r = 0; r < kCount; ++r) {
        const V& v = vectors[r];
        out[r] += ((v[0] + v[4]) + (v[1] + v[5])) + ((v[2] + v[6]) + (v[3] + v[7]));
      }
    }
  }
};

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_AVX2_H_
