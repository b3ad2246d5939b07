// The random bits of common/random_bits.h for the outputs of a tile, a vector of columns at a time. An Isa brings, of
// integers of 32 bits,
//   Integers, kLanes, LoadIntegers(p), SetInteger(i), Xor(a, b), AddIntegers(a, b), MultiplyLow(a, b), ShiftRight<n>(a)
// Include it only from files that are compiled for one instruction set.
#ifndef LBA_KERNELS_CPU_RANDOM_VECTORS_H_
#define LBA_KERNELS_CPU_RANDOM_VECTORS_H_

#include <cstdint>

#include "common/random_bits.h"
#include "kernels/cpu/tile.h"

namespace lba {
namespace {

template <class Isa>
inline typename Isa::Integers MixVector(typename Isa::Integers h) {
  h = Isa::Xor(h, Isa::template ShiftRight<16>(h));
  h = Isa::MultiplyLow(h, Isa::SetInteger(0x7feb352du));
  h = Isa::Xor(h, Isa::template ShiftRight<15>(h));
  h = Isa::MultiplyLow(h, Isa::SetInteger(0x846ca68bu));
  return Isa::Xor(h, Isa::template ShiftRight<16>(h));
}

// Of kRows rows and kVectors vectors of columns, and of the streams from one on. A draw mixes what the row and the
// column have mixed.
template <class Isa, int kRows, int kVectors>
class RandomVectors {
 public:
  using Integers = typename Isa::Integers;

  RandomVectors(uint64_t seed, int bits, const TilePlaces& places, int row, int column, int first_stream, int streams)
      : per_word_(32 / bits) {
    uint32_t low[kVectors * kLanes], high[kVectors * kLanes];
    for (int c = 0; c < kVectors * kLanes; ++c) {
      const int64_t index = IndexAlongColumns(places, places.At(row, column + c));
      low[c] = static_cast<uint32_t>(index);
      high[c] = static_cast<uint32_t>(static_cast<uint64_t>(index) >> 32);
    }
    for (int stream = first_stream; stream < streams; ++stream) {
      const uint32_t row_key = RandomBits::RowKey(seed, stream), column_key = RandomBits::ColumnKey(seed, stream);
      for (int r = 0; r < kRows; ++r) {
        const Place place = places.At(row + r, column);
        rows_[stream][r] = places.columns_are_rows ? MixIndex(column_key, place.column) : MixIndex(row_key, place.row);
      }
      const Integers key = Isa::SetInteger(places.columns_are_rows ? row_key : column_key);
      for (int v = 0; v < kVectors; ++v) {
        const Integers mixed = MixVector<Isa>(Isa::Xor(key, Isa::LoadIntegers(low + v * kLanes)));
        columns_[stream][v] = MixVector<Isa>(Isa::Xor(mixed, Isa::LoadIntegers(high + v * kLanes)));
      }
    }
  }

  int per_word() const { return per_word_; }

  // The words of this group of steps.
  void Words(int stream, int64_t group, Integers (&words)[kRows][kVectors]) const {
    const uint32_t g = static_cast<uint32_t>(group);
    Integers columns[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      columns[v] = MixVector<Isa>(Isa::AddIntegers(columns_[stream][v], Isa::SetInteger(g)));
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const Integers row = Isa::SetInteger(MixBits(rows_[stream][r] + g));
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) words[r][v] = MixVector<Isa>(Isa::Xor(row, columns[v]));
    }
  }

 private:
  static constexpr int kLanes = Isa::kLanes;

  static int64_t IndexAlongColumns(const TilePlaces& places, const Place& place) {
    return places.columns_are_rows ? place.row : place.column;
  }

  const int per_word_;
  uint32_t rows_[RandomBits::kMostStreams][kRows];
  Integers columns_[RandomBits::kMostStreams][kVectors];
};

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_RANDOM_VECTORS_H_
