// The random bits of stochastic rounding: a hash of the seed, the place of the output and that of the addition in its
// dot product (docs/numerics.md, "Stochastic rounding"). Usable on the host and on a GPU.
#ifndef LBA_COMMON_RANDOM_BITS_H_
#define LBA_COMMON_RANDOM_BITS_H_

#include <cstdint>

#include "common/host_device.h"

namespace lba {

// Where an output stands: its row among those of all matrices of a batch, or image * positions + position; its column,
// or output channel.
struct Place {
  int64_t row = 0, column = 0;
};

LBA_HOST_DEVICE inline uint32_t MixBits(uint32_t h) {
  h ^= h >> 16;
  h *= 0x7feb352du;
  h ^= h >> 15;
  h *= 0x846ca68bu;
  return h ^ h >> 16;
}

LBA_HOST_DEVICE inline uint32_t MixIndex(uint32_t key, int64_t index) {
  const uint64_t wide = static_cast<uint64_t>(index);
  return MixBits(MixBits(key ^ static_cast<uint32_t>(wide)) ^ static_cast<uint32_t>(wide >> 32));
}

// The draws of one output, of `bits` bits each; none where there are 0 bits.
class RandomBits {
 public:
  static constexpr int kMostStreams = 10;  // products, innermost sums, and every level of chains

  LBA_HOST_DEVICE RandomBits(uint64_t seed, int bits, const Place& place) : bits_(bits) {
    if (bits == 0) return;
    for (int stream = 0; stream < kMostStreams; ++stream) {
      rows_[stream] = MixIndex(RowKey(seed, stream), place.row);
      columns_[stream] = MixIndex(ColumnKey(seed, stream), place.column);
    }
  }

  // What the places' rows and columns are mixed with.
  LBA_HOST_DEVICE static uint32_t RowKey(uint64_t seed, int stream) {
    const uint32_t mixed = MixBits(MixBits(static_cast<uint32_t>(seed)) ^ static_cast<uint32_t>(seed >> 32));
    return MixBits(mixed + 0x9e3779b9u * static_cast<uint32_t>(stream + 1));
  }
  LBA_HOST_DEVICE static uint32_t ColumnKey(uint64_t seed, int stream) { return ~RowKey(seed, stream); }

  LBA_HOST_DEVICE uint32_t Draw(int stream, int64_t step) const {
    const int per_word = 32 / bits_;
    const uint32_t group = static_cast<uint32_t>(step / per_word);
    const uint32_t word = MixBits(MixBits(rows_[stream] + group) ^ MixBits(columns_[stream] + group));
    return word >> (bits_ * static_cast<int>(step % per_word)) & ((1u << bits_) - 1);
  }

 private:
  int bits_;
  uint32_t rows_[kMostStreams] = {}, columns_[kMostStreams] = {};
};

}  // namespace lba

#endif  // LBA_COMMON_RANDOM_BITS_H_
