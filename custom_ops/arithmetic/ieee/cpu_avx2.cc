#if defined(__x86_64__)

#include "arithmetic/ieee/cpu_kernels.h"
#include "arithmetic/ieee/narrow_arithmetic.h"
#include "kernels/cpu/avx2.h"

namespace lba {
namespace {

// The sum is the nearest value, and `error` what is missing, or has its sign: truncated, the last bit set where there
// is an error.
__m256 OddOf(__m256 sum, __m256 error) {
  const __m256i is_inexact = _mm256_castps_si256(_mm256_cmp_ps(error, _mm256_setzero_ps(), _CMP_NEQ_OQ));
  const __m256i is_away = _mm256_srai_epi32(_mm256_castps_si256(_mm256_xor_ps(error, sum)), 31);
  const __m256i truncated = _mm256_add_epi32(_mm256_castps_si256(sum), _mm256_and_si256(is_away, is_inexact));
  return _mm256_castsi256_ps(_mm256_or_si256(truncated, _mm256_srli_epi32(is_inexact, 31)));
}

// Of the nearest sum of both, exactly (Knuth's TwoSum).
__m256 ErrorOfSum(__m256 a, __m256 b, __m256 sum) {
  const __m256 part = _mm256_sub_ps(sum, a);
  return _mm256_add_ps(_mm256_sub_ps(a, _mm256_sub_ps(sum, part)), _mm256_sub_ps(b, part));
}

// Where float32 holds the product, or it is so small that no more than its sign matters.
struct Avx2WithShortOdd : Avx2 {
  static V OddMultiplyAdd(V a, V b, V c) {
    const V product = Multiply(a, b), sum = MultiplyAdd(a, b, c);
    return OddOf(sum, ErrorOfSum(product, c, sum));
  }
};

// Where two of float32 hold the product.
struct Avx2WithLongOdd : Avx2 {
  static V OddMultiply(V a, V b) {
    const V product = Multiply(a, b);
    return OddOf(product, _mm256_fmsub_ps(a, b, product));
  }
  // The error of a fused multiply-add after Boldo and Muller, "Exact and approximated error of the FMA" (2011).
  static V OddMultiplyAdd(V a, V b, V c) {
    const V sum = MultiplyAdd(a, b, c), high = Multiply(a, b), low = _mm256_fmsub_ps(a, b, high);
    const V addend = Add(c, low), whole = Add(high, addend);
    const V rest = Add(Subtract(whole, sum), ErrorOfSum(high, addend, whole));
    return OddOf(sum, Add(rest, ErrorOfSum(c, low, addend)));
  }
};

struct Float16x8 {
  static __m256 Rounded(__m256 v) {
    return _mm256_cvtph_ps(_mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
};

// Float32's upper half, subnormals and infinity included. NaN stays one: the processor's own has no low bits.
struct Bfloat16x8 {
  static __m256 Rounded(__m256 v) {
    const __m256i bits = _mm256_castps_si256(v);
    const __m256i is_odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), is_odd);
    return _mm256_castsi256_ps(_mm256_and_si256(sum, _mm256_set1_epi32(static_cast<int>(0xffff0000))));
  }
};

}  // namespace

const TileKernels& IeeeAvx2Kernels(IeeeChain chain) {
  static const TileKernels kernels[kIeeeChains] = {
      MakeChainKernels<FusedFloat32<Avx2>>(CpuPath::kAvx2),
      MakeNarrowKernels<FusedNarrow<Avx2WithShortOdd, Float16x8>, FusedNarrow<Avx2WithLongOdd, Float16x8>>(
          CpuPath::kAvx2),
      MakeNarrowKernels<FusedNarrow<Avx2WithShortOdd, Bfloat16x8>, FusedNarrow<Avx2WithLongOdd, Bfloat16x8>>(
          CpuPath::kAvx2),
      MakeNarrowKernels<RoundedNarrow<Avx2, Float16x8, true>, RoundedNarrow<Avx2WithLongOdd, Float16x8, false>>(
          CpuPath::kAvx2)};
  return kernels[static_cast<int>(chain)];
}

}  // namespace lba

#endif  // __x86_64__
