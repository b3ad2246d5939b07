#if defined(__x86_64__)

#include "arithmetic/ieee/cpu_kernels.h"
#include "arithmetic/ieee/narrow_arithmetic.h"
#include "kernels/cpu/avx2.h"

namespace lba {
namespace {

// Where two of float32 hold the product, which is the nearest value and what is missing: truncated, the last bit set
// where there is an error.
struct Avx2WithOddProducts : Avx2 {
  static V OddMultiply(V a, V b) {
    const V product = Multiply(a, b), error = _mm256_fmsub_ps(a, b, product);
    const __m256i is_inexact = _mm256_castps_si256(_mm256_cmp_ps(error, Zero(), _CMP_NEQ_OQ));
    const __m256i is_away = _mm256_srai_epi32(_mm256_castps_si256(_mm256_xor_ps(error, product)), 31);
    const __m256i truncated = _mm256_add_epi32(_mm256_castps_si256(product), _mm256_and_si256(is_away, is_inexact));
    return _mm256_castsi256_ps(_mm256_or_si256(truncated, _mm256_srli_epi32(is_inexact, 31)));
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
      MakeChainKernels<FusedNarrow<Avx2, Float16x8>>(CpuPath::kAvx2, FpMode::kUpward),
      MakeChainKernels<FusedNarrow<Avx2, Bfloat16x8>>(CpuPath::kAvx2, FpMode::kUpward),
      MakeNarrowKernels<RoundedNarrow<Avx2, Float16x8, true>, RoundedNarrow<Avx2WithOddProducts, Float16x8, false>>(
          CpuPath::kAvx2)};
  return kernels[static_cast<int>(chain)];
}

}  // namespace lba

#endif  // __x86_64__
