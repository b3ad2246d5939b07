// The vectors of AVX-512, for steps of an arithmetic (such as arithmetic/truncate/scaled_arithmetic.h) and for
// gradient_kernel.h. Include it only from files that are compiled for it.
#ifndef LBA_KERNELS_CPU_AVX512_H_
#define LBA_KERNELS_CPU_AVX512_H_

#include <immintrin.h>

#include <cstdint>

#include "kernels/cpu/float8.h"

namespace lba {
namespace {  // each file has its own copy

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 may spill a mask as 16 bits and read it back as 32: this instruction has it in a register.
inline uint32_t BitsOfMask(__mmask16 mask) {
  uint32_t bits;
  __asm__("kmovw %1, %0" : "=r"(bits) : "k"(mask));
  return bits;
}

// *x * w and *x * w + c. GCC would make one broadcast of two uses, and a broadcast takes the place of an operation; one
// that is part of the instruction costs nothing.
inline __m512 Scaled(const float* x, __m512 w) {
  __m512 product;
  __asm__("vmulps %2%{1to16%}, %1, %0" : "=v"(product) : "v"(w), "m"(*x));
  return product;
}
inline __m256 Scaled(const float* x, __m256 w) {
  __m256 product;
  __asm__("vmulps %2%{1to8%}, %1, %0" : "=v"(product) : "v"(w), "m"(*x));
  return product;
}
inline __m512 ScaledSum(const float* x, __m512 w, __m512 c) {
  __asm__("vfmadd231ps %2%{1to16%}, %1, %0" : "+v"(c) : "v"(w), "m"(*x));
  return c;
}
inline __m256 ScaledSum(const float* x, __m256 w, __m256 c) {
  __asm__("vfmadd231ps %2%{1to8%}, %1, %0" : "+v"(c) : "v"(w), "m"(*x));
  return c;
}
#else
inline uint32_t BitsOfMask(__mmask16 mask) { return mask; }
inline __m512 Scaled(const float* x, __m512 w) { return _mm512_mul_ps(_mm512_set1_ps(*x), w); }
inline __m256 Scaled(const float* x, __m256 w) { return _mm256_mul_ps(_mm256_set1_ps(*x), w); }
inline __m512 ScaledSum(const float* x, __m512 w, __m512 c) { return _mm512_fmadd_ps(_mm512_set1_ps(*x), w, c); }
inline __m256 ScaledSum(const float* x, __m256 w, __m256 c) { return _mm256_fmadd_ps(_mm256_set1_ps(*x), w, c); }
#endif

// Half a vector, with AVX-512's instructions and registers.
struct Avx512Half : Float8Operations {
  static constexpr int kRows = 8, kVectors = 1, kDirectVectors = 1;

  static V BroadcastMultiply(const float* x, V w) { return Scaled(x, w); }
  static V BroadcastMultiplyAdd(const float* x, V w, V c) { return ScaledSum(x, w, c); }
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
  static V BroadcastMultiply(const float* x, V w) { return Scaled(x, w); }
  static V BroadcastMultiplyAdd(const float* x, V w, V c) { return ScaledSum(x, w, c); }
  static V Saturate(V value, V max) { return _mm512_range_ps(value, max, 2); }
  static V Subtract(V a, V b) { return _mm512_sub_ps(a, b); }
  static V NegativeMultiplyAdd(V a, V b, V c) { return _mm512_fnmadd_ps(a, b, c); }
  static V AddBits(V a, V b) {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
  }
  // Truncated to 24 bits, the last one set where that is not exact; a zero of both signs is positive. In any mode.
  static V OddMultiplyAdd(V a, V b, V c) {
    return OddOf(_mm512_fmadd_round_ps(a, b, c, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC),
                 _mm512_fmadd_round_ps(a, b, c, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC));
  }
  static V OddMultiply(V a, V b) {
    return OddOf(_mm512_mul_round_ps(a, b, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC),
                 _mm512_mul_round_ps(a, b, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC));
  }
  static uint32_t Equal(V a, V b) { return BitsOfMask(_mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ)); }
  static uint32_t AtLeast(V value, V max) {
    return BitsOfMask(_mm512_cmp_ps_mask(_mm512_abs_ps(value), max, _CMP_GE_OQ));
  }

  // For gradient_kernel.h.
  static V MultiplyAddWhere(uint32_t bits, V a, V b, V sum) {
    return _mm512_mask3_fmadd_ps(a, b, sum, static_cast<__mmask16>(bits));
  }
  template <int kCount>
  static void AddSums(const V (&vectors)[kCount], float* out) {
    V eight[8];
    for (int r = 0; r < 8; ++r) eight[r] = r < kCount ? vectors[r] : Zero();
    const __mmask8 wanted = (1u << kCount) - 1;
    _mm256_mask_storeu_ps(out, wanted, _mm256_add_ps(_mm256_maskz_loadu_ps(wanted, out), SumsOfEight(eight)));
  }

 private:
  // Of equal values, or of neighbours the one with an odd last bit.
  static V OddOf(V down, V up) {
    return _mm512_mask_blend_ps(_mm512_test_epi32_mask(_mm512_castps_si512(down), _mm512_set1_epi32(1)), up, down);
  }
  static V Unpacked(V a, V b) { return Add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)); }
  // Of four vectors: the sums of each quarter, in the order of the vectors.
  static V Quarters(V a, V b, V c, V d) {
    const V ab = Unpacked(a, b), cd = Unpacked(c, d);
    return Add(_mm512_shuffle_ps(ab, cd, 0x44), _mm512_shuffle_ps(ab, cd, 0xee));
  }
  static __m256 SumsOfEight(const V (&v)[8]) {
    const V low = Quarters(v[0], v[1], v[2], v[3]), high = Quarters(v[4], v[5], v[6], v[7]);
    const V halves = Add(_mm512_shuffle_f32x4(low, high, 0x88), _mm512_shuffle_f32x4(low, high, 0xdd));
    const V sums = Add(halves, _mm512_shuffle_f32x4(halves, halves, 0xb1));
    return _mm512_castps512_ps256(_mm512_shuffle_f32x4(sums, sums, 0x08));
  }
};

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_AVX512_H_
