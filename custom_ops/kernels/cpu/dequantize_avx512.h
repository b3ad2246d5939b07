// The codes of a row as floats, with AVX-512. Include it only from files that are compiled for it.
#ifndef LBA_KERNELS_CPU_DEQUANTIZE_AVX512_H_
#define LBA_KERNELS_CPU_DEQUANTIZE_AVX512_H_

#include <immintrin.h>

#include "kernels/cpu/dequantize_kernel.h"

namespace lba {
namespace {  // each file has its own copy

// Codes of up to 4 bits are looked up: a permutation reads the four lowest bits of its indices alone.
template <int kBits>
struct SixteenCodes {
  typedef float V __attribute__((vector_size(64)));
  static constexpr int kVectors = 2;

  static V Floats(__m512i codes) {
    if constexpr (kBits == 8) return reinterpret_cast<V>(_mm512_cvtepi32_ps(codes));
    const __m512 table = kBits == 4 ? _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)
                                    : _mm512_setr_ps(0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3);
    return reinterpret_cast<V>(_mm512_permutexvar_ps(codes, table));
  }

  static __m512i Bytes(const uint8_t* row) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(row)));
  }

  static void Load(const uint8_t* row, V (&vectors)[kVectors]) {
    if constexpr (kBits == 8) {
      vectors[0] = Floats(Bytes(row));
      vectors[1] = Floats(Bytes(row + 16));
    } else if constexpr (kBits == 4) {
      const __m512i bytes = Bytes(row);
      vectors[0] = Floats(bytes);
      vectors[1] = Floats(_mm512_srli_epi32(bytes, 4));
    } else {
      int64_t eight;
      std::memcpy(&eight, row, sizeof eight);
      const __m512i twice = _mm512_cvtepu8_epi32(_mm_set1_epi64x(eight));
      const __m512i shifts = _mm512_setr_epi32(0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2);
      const __m512i low = _mm512_srlv_epi32(twice, shifts);
      vectors[0] = Floats(low);
      vectors[1] = Floats(_mm512_srli_epi32(low, 4));
    }
  }
};

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_DEQUANTIZE_AVX512_H_
