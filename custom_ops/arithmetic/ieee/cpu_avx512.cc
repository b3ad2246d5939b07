#if defined(__x86_64__)

#include "arithmetic/ieee/cpu_kernels.h"
#include "arithmetic/ieee/narrow_arithmetic.h"
#include "kernels/cpu/avx512.h"

namespace lba {
namespace {

struct Float16x16 {
  static __m512 Rounded(__m512 v) {
    return _mm512_cvtph_ps(_mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
};

// Float32's upper half, subnormals and infinity included. NaN stays one: the processor's own has no low bits.
struct Bfloat16x16 {
  static __m512 Rounded(__m512 v) {
    const __m512i bits = _mm512_castps_si512(v);
    const __mmask16 is_odd = _mm512_test_epi32_mask(bits, _mm512_set1_epi32(0x10000));
    const __m512i below = _mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff));
    const __m512i sum = _mm512_mask_add_epi32(below, is_odd, bits, _mm512_set1_epi32(0x8000));
    return _mm512_castsi512_ps(_mm512_and_si512(sum, _mm512_set1_epi32(static_cast<int>(0xffff0000))));
  }
};

}  // namespace

const TileKernels& IeeeAvx512Kernels(IeeeChain chain) {
  static const TileKernels kernels[kIeeeChains] = {
      MakeChainKernels<FusedFloat32<Avx512>>(CpuPath::kAvx512),
      MakeChainKernels<FusedNarrow<Avx512, Float16x16>>(CpuPath::kAvx512),
      MakeChainKernels<FusedNarrow<Avx512, Bfloat16x16>>(CpuPath::kAvx512),
      MakeNarrowKernels<RoundedNarrow<Avx512, Float16x16, true>, RoundedNarrow<Avx512, Float16x16, false>>(
          CpuPath::kAvx512)};
  return kernels[static_cast<int>(chain)];
}

}  // namespace lba

#endif  // __x86_64__
