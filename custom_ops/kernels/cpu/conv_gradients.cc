#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <vector>

#include "kernels/cpu/gated_product.h"
#include "kernels/cpu/im2col.h"
#include "kernels/cpu/masked_conv.h"
#include "kernels/cpu/masked_conv_gradients.h"
#include "kernels/cpu/packed_filter.h"
#include "lba/gradients.h"

namespace lba {
namespace {

// Rows are the filters of one group, columns the positions of all images.
class ImageGradient : public ResultGradient {
 public:
  ImageGradient(const ConvShape& shape, const float* grad, int64_t group, const StartGradients& starts)
      : ResultGradient(starts), shape_(shape), grad_(grad), first_channel_(group * shape.group_out_channels()) {}
  void Load(int64_t row, int rows, int64_t column, int columns, float* tile) const override {
    const int64_t size = shape_.output_size();
    for (int lane = 0; lane < columns;) {
      const int64_t sample = (column + lane) / size, position = (column + lane) % size;
      const int length = static_cast<int>(std::min<int64_t>(columns - lane, size - position));
      for (int64_t r = 0; r < rows; ++r) {
        const float* from = grad_ + (sample * shape_.out_channels + first_channel_ + row + r) * size + position;
        std::copy(from, from + length, tile + r * kColumnPanel + lane);
      }
      lane += length;
    }
  }
  Output At(int64_t row, int64_t column) const override {
    const int64_t size = shape_.output_size(), sample = column / size, channel = first_channel_ + row;
    return {{sample, channel, column % size}, (sample * shape_.out_channels + channel) * size + column % size};
  }

 private:
  const ConvShape& shape_;
  const float* grad_;
  int64_t first_channel_;
};

// One group, with everything that its GatedProduct refers to.
struct Group {
  StridedSource filters;
  Im2colSource patches;
  ImageGradient grad;
  VectorSink grad_filters;
  Im2colSink grad_patches;

  Group(const ConvShape& s, int64_t group, const float* x, const float* w, const float* grad_y, float* grad_x,
        float* grad_w, const StartGradients& starts)
      : filters(FilterSource(s, w, group)),
        patches(s, x, group),
        grad(s, grad_y, group, starts),
        grad_filters(grad_w == nullptr ? nullptr : grad_w + group * s.group_out_channels() * s.depth(), s.depth()),
        grad_patches(s, grad_x, group) {}
};

bool AreFinite(const float* values, int64_t count) {
  return std::all_of(values, values + count, [](float value) { return std::isfinite(value); });
}

}  // namespace

int64_t AddConvGradients(const Accumulator& accumulator, Estimator estimator, const ConvShape& shape, const float* x,
                         const float* w, const float* grad, float* grad_x, float* grad_w, const Parallel& parallel,
                         const StartGradients& starts) {
  if (shape.batch * shape.out_channels * shape.output_size() == 0) return 0;
  const ConvShape flat = Flattened(shape);
  std::vector<std::unique_ptr<const Group>> groups;
  std::vector<GatedProduct> products;
  for (int64_t i = 0; i < flat.groups; ++i) {
    groups.push_back(std::make_unique<const Group>(flat, i, x, w, grad, grad_x, grad_w, starts));
    const Group& group = *groups.back();
    products.push_back({{group.filters, grad_w == nullptr ? nullptr : &group.grad_filters},
                        {group.patches, grad_x == nullptr ? nullptr : &group.grad_patches},
                        group.grad,
                        {{0, i * flat.group_out_channels()}, 1, true},
                        true});
  }
  if (HasPadding(flat) && !AreFinite(w, flat.out_channels * flat.depth())) {
    std::atomic<int64_t> gated{0};
    RunTasks(parallel, flat.groups,
             [&](int64_t i) { gated += AddMaskedGradients(accumulator, estimator, flat, products[i]); });
    return gated;
  }
  // Patches overlap: only slices of whole images never share a gradient.
  const int64_t positions = flat.batch * flat.output_size();
  const std::vector<int64_t> bounds = SliceBounds(
      positions, flat.output_size(), WantedSlices(flat.groups, positions * flat.group_out_channels() * flat.depth()));
  return AddGradients(accumulator, estimator, products, bounds, parallel);
}

}  // namespace lba
