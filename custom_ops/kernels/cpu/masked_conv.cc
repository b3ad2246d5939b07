#include "kernels/cpu/masked_conv.h"

#include <cmath>
#include <vector>

#include "kernels/cpu/im2col.h"
#include "kernels/cpu/tile.h"
#include "lba/watched_run.h"

namespace lba {
namespace {

// The exact dot product of a patch and a filter, with the infinite weights and NaN over the padding left out.
class MaskedDot {
 public:
  MaskedDot(const Planner& planner, int64_t depth)
      : planner_(planner), offsets_(depth), weights_(depth), values_(depth + kDirectRounding) {
    for (int64_t k = 0; k < depth; ++k) offsets_[k] = k;
  }

  float operator()(const float* patch, const float* is_inside, const float* filter, const Place& place,
                   const float* start) {
    const int64_t depth = static_cast<int64_t>(weights_.size());
    for (int64_t k = 0; k < depth; ++k) {
      weights_[k] = is_inside[k] != 0 || std::isfinite(filter[k]) ? filter[k] : 0.0f;
      values_[k] = patch[k];
    }
    float out[kDirectRounding];
    const TileKernels& kernels = planner_.KernelsOf(CpuPath::kExact);
    const FpScope scope(kernels.mode);
    kernels.direct[0]({planner_.constants(CpuPath::kExact), weights_.data(), values_.data(), offsets_.data(), depth,
                       &planner_.order(), 1, out, place, start});
    CountTiles(CpuPath::kExact, 1);
    return out[0];
  }

 private:
  const Planner& planner_;
  std::vector<int64_t> offsets_;
  std::vector<float> weights_, values_;
};

}  // namespace

bool HasPadding(const ConvShape& shape) {
  const std::array<int64_t, 3> none{0, 0, 0};
  return shape.pads_begin != none || shape.pads_end != none;
}

bool NeedsMask(const ConvShape& shape, const PackedFilter& filter) {
  if (!HasPadding(shape)) return false;
  for (int64_t group = 0; group < shape.groups; ++group) {
    if (!filter.group(group).range().is_finite()) return true;
  }
  return false;
}

void MaskedConv(const Planner& planner, const ConvShape& shape, const float* x, const float* w,
                const RoundedStarts& starts, float* y, const Parallel& parallel, double share) {
  ConvShape one_sample = shape;
  one_sample.batch = 1;
  const std::vector<float> ones(shape.in_channels * shape.input_size(), 1.0f);
  const int64_t size = shape.output_size(), depth = shape.depth();
  const auto run_task = [&](int64_t task) {
    const int64_t group = task / (shape.batch * size), position = task % (shape.batch * size);
    std::vector<float> patch(depth), is_inside(depth);
    Im2colSource(shape, x, group).Pack(position, 1, 1, patch.data());
    Im2colSource(one_sample, ones.data(), group).Pack(position % size, 1, 1, is_inside.data());
    MaskedDot dot(planner, depth);
    for (int64_t i = 0; i < shape.group_out_channels(); ++i) {
      ThrowIfStopped();
      const int64_t channel = group * shape.group_out_channels() + i;
      const ProductStarts started = starts.OfFilters(channel, size);
      const float* start = started.data == nullptr ? nullptr : &started.At(position, 0);
      y[(position / size * shape.out_channels + channel) * size + position % size] =
          dot(patch.data(), is_inside.data(), w + channel * depth, {position, channel}, start);
    }
  };
  RunTasks(parallel, shape.groups * shape.batch * size, run_task, share);
}

}  // namespace lba
