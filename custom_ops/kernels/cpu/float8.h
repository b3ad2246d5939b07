// The 256-bit operations that AVX2 and the half vectors of AVX-512 share, for scaled_arithmetic.h.
// Include it only from files that are compiled for one instruction set.
#ifndef LBA_KERNELS_CPU_FLOAT8_H_
#define LBA_KERNELS_CPU_FLOAT8_H_

#include <immintrin.h>

#include <cstdint>

namespace lba {
namespace {  // each instruction set has its own copy

struct Float8Operations {
  using V = __m256;
  using Half = void;
  static constexpr int kLanes = 8;

  static V Zero() { return _mm256_setzero_ps(); }
  static V Load(const float* p) { return _mm256_loadu_ps(p); }
  static V Set(float value) { return _mm256_set1_ps(value); }
  static V Bits(uint32_t bits) { return _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(bits))); }
  static void Store(float* p, V value) { _mm256_storeu_ps(p, value); }
  static V And(V a, V b) { return _mm256_and_ps(a, b); }
  static V Add(V a, V b) { return _mm256_add_ps(a, b); }
  static V Multiply(V a, V b) { return _mm256_mul_ps(a, b); }
  static V MultiplyAdd(V a, V b, V c) { return _mm256_fmadd_ps(a, b, c); }
  static V BroadcastMultiply(const float* x, V w) { return Multiply(Set(*x), w); }
  static V BroadcastMultiplyAdd(const float* x, V w, V c) { return MultiplyAdd(Set(*x), w, c); }
  static V Subtract(V a, V b) { return _mm256_sub_ps(a, b); }
  static V NegativeMultiplyAdd(V a, V b, V c) { return _mm256_fnmadd_ps(a, b, c); }
  static V AddBits(V a, V b) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(a), _mm256_castps_si256(b)));
  }
  static uint32_t Equal(V a, V b) { return Lanes(_mm256_cmp_ps(a, b, _CMP_EQ_OQ)); }
  static uint32_t AtLeast(V value, V max) {
    return Lanes(_mm256_cmp_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), value), max, _CMP_GE_OQ));
  }

 private:
  static uint32_t Lanes(V mask) { return static_cast<uint32_t>(_mm256_movemask_ps(mask)); }
};

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_FLOAT8_H_
