#include "kernels/cpu/integers/chains.h"

#include <algorithm>
#include <numeric>

namespace lba {
namespace {

template <class Code>
int64_t LoadRun(const Code* codes, int32_t shift, std::vector<int16_t>* values) {
  const int64_t count = static_cast<int64_t>(values->size());
  int16_t* out = values->data();
  int32_t sum = 0;  // of at most 2^31 / 2^9 codes at once
  int64_t total = 0;
  constexpr int64_t kBlock = 1 << 20;
  for (int64_t begin = 0; begin < count; begin += kBlock, total += sum, sum = 0) {
    for (int64_t i = begin; i < std::min(begin + kBlock, count); ++i) {
      out[i] = static_cast<int16_t>(codes[i] + shift);
      sum += out[i];
    }
  }
  return total;
}

}  // namespace

StridedChains::StridedChains(const void* data, const std::vector<int64_t>& offsets, int64_t vectors, int64_t stride)
    : data_(Bytes(data)), offsets_(offsets), vectors_(vectors), stride_(stride), is_run_(true) {
  for (size_t i = 0; i < offsets.size() && is_run_; ++i) is_run_ = offsets[i] == static_cast<int64_t>(i);
}

StridedChains& StridedChains::AsX(const IntegerSums& sums, const Codes& codes) {
  type_ = codes.type;
  zero_points_ = {ZeroPointOf(codes, 0)};
  shifts_ = {sums.XShift(type_, zero_points_[0])};
  return *this;
}

StridedChains& StridedChains::AsW(const IntegerSums& sums, const Codes& codes, int64_t first) {
  type_ = codes.type;
  for (int64_t vector = 0; vector < (codes.has_many_zero_points ? vectors_ : 1); ++vector) {
    zero_points_.push_back(ZeroPointOf(codes, first + vector));
    shifts_.push_back(sums.WShift(zero_points_.back()));
  }
  return *this;
}

void StridedChains::Load(int64_t vector, Chain* chain) const { LoadShifted(vector, shifts_[PlaceOf(vector)], chain); }

void StridedChains::LoadShifted(int64_t vector, int32_t shift, Chain* chain) const {
  chain->offset = zero_point(vector) + shift;
  chain->values.resize(offsets_.size());
  if (const uint8_t* run = RunOf(vector)) {
    chain->sum = type_ == CodeType::kUint8 ? LoadRun(run, shift, &chain->values)
                                           : LoadRun(reinterpret_cast<const int8_t*>(run), shift, &chain->values);
    return;
  }
  for (size_t i = 0; i < offsets_.size(); ++i) {
    const int32_t value = offsets_[i] < 0 ? 0 : CodeAt(data_, type_, offsets_[i] + vector * stride_) + shift;
    chain->values[i] = static_cast<int16_t>(value);
  }
  chain->sum = std::accumulate(chain->values.begin(), chain->values.end(), int64_t{0});
}

void PatchChains::Load(int64_t vector, Chain* chain) const {
  const ConvShape& s = shape_;
  const int64_t sample = vector / s.output_size(), position = vector % s.output_size();
  const int64_t out[3] = {position / (s.output[1] * s.output[2]), position / s.output[2] % s.output[1],
                          position % s.output[2]};
  const int64_t image = (sample * s.in_channels + group_ * s.group_in_channels()) * s.input_size();
  const int32_t zero_point = ZeroPointOf(x_, 0), shift = sums_.XShift(x_.type, zero_point);
  chain->offset = zero_point + shift;
  chain->values.assign(order_.size(), 0);
  for (size_t place = 0; place < order_.size(); ++place) {
    if (order_[place] < 0) continue;
    int64_t rest = order_[place], in[3];
    bool is_inside = true;
    for (int d = 2; d >= 0; --d) {
      in[d] = out[d] * s.strides[d] - s.pads_begin[d] + rest % s.kernel[d] * s.dilations[d];
      rest /= s.kernel[d];
      is_inside = is_inside && in[d] >= 0 && in[d] < s.input[d];
    }
    const int64_t index = image + ((rest * s.input[0] + in[0]) * s.input[1] + in[1]) * s.input[2] + in[2];
    chain->values[place] = static_cast<int16_t>((is_inside ? CodeAt(x_.data, x_.type, index) : zero_point) + shift);
  }
  chain->sum = std::accumulate(chain->values.begin(), chain->values.end(), int64_t{0});
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
