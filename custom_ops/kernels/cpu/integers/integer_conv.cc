#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/cpu/integers/definition.h"
#include "kernels/cpu/integers/epilogue.h"
#include "lba/integer_product.h"

namespace lba {
namespace {

// The patch of one output as a chain of codes, the zero point where it lies in the padding.
std::vector<uint8_t> PatchOf(const ConvShape& s, const std::vector<int64_t>& order, const uint8_t* x, int64_t position,
                             uint8_t zero_point) {
  const int64_t out[3] = {position / (s.output[1] * s.output[2]), position / s.output[2] % s.output[1],
                          position % s.output[2]};
  std::vector<uint8_t> patch(order.size(), zero_point);
  for (size_t place = 0; place < order.size(); ++place) {
    if (order[place] < 0) continue;
    int64_t rest = order[place], in[3];
    bool is_inside = true;
    for (int d = 2; d >= 0; --d) {
      in[d] = out[d] * s.strides[d] - s.pads_begin[d] + rest % s.kernel[d] * s.dilations[d];
      rest /= s.kernel[d];
      is_inside &= in[d] >= 0 && in[d] < s.input[d];
    }
    if (is_inside) patch[place] = x[((rest * s.input[0] + in[0]) * s.input[1] + in[1]) * s.input[2] + in[2]];
  }
  return patch;
}

}  // namespace

class PackedIntegerFilter {};

std::shared_ptr<const PackedIntegerFilter> PackIntegerFilter(const Accumulator&, const ConvShape&, const Codes&,
                                                             const Parallel&) {
  return std::make_shared<PackedIntegerFilter>();
}

void IntegerConv(const Accumulator& accumulator, const ConvShape& shape, const Codes& x, const Codes& w,
                 const PackedIntegerFilter*, const IntegerEpilogue& epilogue, void* y, const Parallel& parallel,
                 StatisticsCollector*) {
  const bool is_depthwise = shape.group_in_channels() == 1 && shape.group_out_channels() == 1;
  const IntegerSums sums = IntegerSumsOf(accumulator).For(w.type, is_depthwise);
  const std::vector<int64_t> order = FilterOrder(sums, shape);
  std::vector<int64_t> places(order.size(), -1);
  for (size_t i = 0; i < order.size(); ++i) places[i] = order[i] < 0 ? -1 : static_cast<int64_t>(i);
  const int64_t filters = shape.group_out_channels(), size = shape.output_size();
  RunTasks(parallel, shape.batch * shape.groups * size, [&](int64_t task) {
    const int64_t position = task % size, group = task / size % shape.groups, sample = task / size / shape.groups;
    const uint8_t* images = static_cast<const uint8_t*>(x.data) +
                            (sample * shape.in_channels + group * shape.group_in_channels()) * shape.input_size();
    const std::vector<uint8_t> patch = PatchOf(shape, order, images, position, static_cast<uint8_t>(ZeroPointOf(x, 0)));
    const ProductSide left{{patch.data(), x.type, 1, 0, places}, x};
    const ProductSide right{
        {static_cast<const char*>(w.data) + group * filters * shape.depth(), w.type, filters, shape.depth(), order},
        w,
        group * filters};
    const LoadedChain chain = LoadX(sums, left, 0);
    for (int64_t filter = 0; filter < filters; ++filter) {
      const int64_t channel = group * filters + filter;
      const int64_t sum = CorrectedSum(sums, chain, LoadW(sums, right, filter), shape.depth());
      const int64_t index = (sample * shape.out_channels + channel) * size + position;
      const int32_t narrow = static_cast<int32_t>(sum);
      if (sums.is_wide()) {
        WriteResults(epilogue, &sum, 1, channel, 0, index, y);
      } else {
        WriteResults(epilogue, &narrow, 1, channel, 0, index, y);
      }
    }
  });
}

}  // namespace lba
