// The random bits of common/random_bits.h for the outputs of a tile, sixteen columns at a time. Include it only from
// files that are compiled for AVX-512.
#ifndef LBA_ARITHMETIC_STOCHASTIC_RANDOM_VECTORS_H_
#define LBA_ARITHMETIC_STOCHASTIC_RANDOM_VECTORS_H_

#include <immintrin.h>

#include <cstdint>

#include "common/random_bits.h"
#include "kernels/cpu/tile.h"

namespace lba {
namespace {

inline __m512i MixVector(__m512i h) {
  h = _mm512_xor_si512(h, _mm512_srli_epi32(h, 16));
  h = _mm512_mullo_epi32(h, _mm512_set1_epi32(0x7feb352d));
  h = _mm512_xor_si512(h, _mm512_srli_epi32(h, 15));
  h = _mm512_mullo_epi32(h, _mm512_set1_epi32(static_cast<int>(0x846ca68bu)));
  return _mm512_xor_si512(h, _mm512_srli_epi32(h, 16));
}

// Of kRows rows and kVectors vectors of columns. A draw mixes what the row and the column have mixed.
template <int kRows, int kVectors>
class RandomVectors {
 public:
  RandomVectors(uint64_t seed, int bits, const TilePlaces& places, int row, int column, int streams)
      : per_word_(32 / bits) {
    alignas(64) uint32_t low[kVectors * 16], high[kVectors * 16];
    for (int c = 0; c < kVectors * 16; ++c) {
      const int64_t index = IndexAlongColumns(places, places.At(row, column + c));
      low[c] = static_cast<uint32_t>(index);
      high[c] = static_cast<uint32_t>(static_cast<uint64_t>(index) >> 32);
    }
    for (int stream = 1; stream < streams; ++stream) {
      const uint32_t row_key = RandomBits::RowKey(seed, stream), column_key = RandomBits::ColumnKey(seed, stream);
      for (int r = 0; r < kRows; ++r) {
        const Place place = places.At(row + r, column);
        rows_[stream][r] = places.columns_are_rows ? MixIndex(column_key, place.column) : MixIndex(row_key, place.row);
      }
      const __m512i key = _mm512_set1_epi32(static_cast<int>(places.columns_are_rows ? row_key : column_key));
      for (int v = 0; v < kVectors; ++v) {
        const __m512i mixed = MixVector(_mm512_xor_si512(key, _mm512_load_si512(low + v * 16)));
        columns_[stream][v] = MixVector(_mm512_xor_si512(mixed, _mm512_load_si512(high + v * 16)));
      }
    }
  }

  int per_word() const { return per_word_; }

  // The words of this group of steps.
  void Words(int stream, int64_t group, __m512i (&words)[kRows][kVectors]) const {
    const uint32_t g = static_cast<uint32_t>(group);
    __m512i columns[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      columns[v] = MixVector(_mm512_add_epi32(columns_[stream][v], _mm512_set1_epi32(static_cast<int>(g))));
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const __m512i row = _mm512_set1_epi32(static_cast<int>(MixBits(rows_[stream][r] + g)));
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) words[r][v] = MixVector(_mm512_xor_si512(row, columns[v]));
    }
  }

 private:
  static int64_t IndexAlongColumns(const TilePlaces& places, const Place& place) {
    return places.columns_are_rows ? place.row : place.column;
  }

  const int per_word_;
  uint32_t rows_[RandomBits::kMostStreams][kRows];
  __m512i columns_[RandomBits::kMostStreams][kVectors];
};

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_STOCHASTIC_RANDOM_VECTORS_H_
