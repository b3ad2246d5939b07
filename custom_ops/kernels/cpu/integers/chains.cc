#include "kernels/cpu/integers/chains.h"

namespace lba {

void CodeVectors::Load(int64_t vector, int32_t shift, int16_t* chain) const {
  for (int64_t place = 0; place < length(); ++place) {
    chain[place] = offsets[place] < 0 ? int16_t{0} : static_cast<int16_t>(At(vector, place) + shift);
  }
}

std::vector<int64_t> ChainOffsets(const IntegerSums& sums, int64_t depth, int64_t stride) {
  std::vector<int64_t> offsets(sums.Padded(depth), -1);
  for (int64_t k = 0; k < depth; ++k) offsets[sums.PlaceOf(k)] = k * stride;
  return offsets;
}

std::vector<int64_t> FilterOrder(const IntegerSums& sums, const ConvShape& shape) {
  const int64_t depth = shape.depth(), channels = shape.group_in_channels();
  const int64_t positions = channels == 0 ? 0 : depth / channels;
  std::vector<int64_t> order(sums.Padded(depth), -1);
  for (int64_t k = 0; k < depth; ++k) {
    const int64_t channel = k / positions, position = k % positions;
    order[sums.PlaceOf(sums.is_channels_last ? position * channels + channel : k)] = k;
  }
  return order;
}

}  // namespace lba
