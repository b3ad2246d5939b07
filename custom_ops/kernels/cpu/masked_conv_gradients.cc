#include "kernels/cpu/masked_conv_gradients.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/im2col.h"

namespace lba {
namespace {

// The filters with zeros over the padding of one position.
class MaskedFilters : public PanelSource {
 public:
  MaskedFilters(const PanelSource& filters, const std::vector<float>& is_inside)
      : filters_(filters), is_inside_(is_inside) {}
  int64_t depth() const override { return filters_.depth(); }
  int64_t vectors() const override { return filters_.vectors(); }
  void Pack(int64_t first, int count, int width, float* out) const override {
    filters_.Pack(first, count, width, out);
    for (int64_t k = 0; k < depth(); ++k) {
      if (is_inside_[k] == 0) std::fill(out + k * width, out + (k + 1) * width, 0.0f);
    }
  }

 private:
  const PanelSource& filters_;
  const std::vector<float>& is_inside_;
};

// What lies at one position of all images: vector n is vector n * size + position of the whole.
struct Position {
  int64_t position, size;
  int64_t operator()(int64_t sample) const { return sample * size + position; }
};

class PositionPatches : public PanelSource {
 public:
  PositionPatches(const PanelSource& patches, Position at, int64_t samples)
      : patches_(patches), at_(at), samples_(samples) {}
  int64_t depth() const override { return patches_.depth(); }
  int64_t vectors() const override { return samples_; }
  void Pack(int64_t first, int count, int width, float* out) const override {
    std::fill(out, out + depth() * width, 0.0f);
    std::vector<float> patch(depth());
    for (int j = 0; j < count; ++j) {
      patches_.Pack(at_(first + j), 1, 1, patch.data());
      for (int64_t k = 0; k < depth(); ++k) out[k * width + j] = patch[k];
    }
  }

 private:
  const PanelSource& patches_;
  Position at_;
  int64_t samples_;
};

class PositionSink : public PanelSink {
 public:
  PositionSink(const PanelSink* patches, Position at, int64_t depth) : patches_(patches), at_(at), depth_(depth) {}
  void Add(int64_t first, int count, int width, const float* panel) const override {
    std::vector<float> patch(depth_);
    for (int j = 0; j < count; ++j) {
      for (int64_t k = 0; k < depth_; ++k) patch[k] = panel[k * width + j];
      patches_->Add(at_(first + j), 1, 1, patch.data());
    }
  }

 private:
  const PanelSink* patches_;
  Position at_;
  int64_t depth_;
};

class PositionGradient : public ResultGradient {
 public:
  PositionGradient(const ResultGradient& whole, Position at) : ResultGradient(whole.starts()), whole_(whole), at_(at) {}
  void Load(int64_t row, int rows, int64_t column, int columns, float* tile) const override {
    for (int j = 0; j < columns; ++j) whole_.Load(row, rows, at_(column + j), 1, tile + j);
  }
  Output At(int64_t row, int64_t column) const override { return whole_.At(row, at_(column)); }

 private:
  const ResultGradient& whole_;
  Position at_;
};

}  // namespace

int64_t AddMaskedGradients(const Accumulator& accumulator, Estimator estimator, const ConvShape& shape,
                           const GatedProduct& group) {
  ConvShape one_sample = shape;
  one_sample.batch = 1;
  const std::vector<float> ones(shape.in_channels * shape.input_size(), 1.0f);
  const Im2colSource inside(one_sample, ones.data(), 0);
  std::vector<float> is_inside(shape.depth());
  int64_t gated = 0;
  for (int64_t position = 0; position < shape.output_size(); ++position) {
    const Position at{position, shape.output_size()};
    inside.Pack(position, 1, 1, is_inside.data());
    const MaskedFilters filters(group.rows.source, is_inside);
    const PositionPatches patches(group.columns.source, at, shape.batch);
    const PositionSink sink(group.columns.sink, at, shape.depth());
    const PositionGradient grad(group.grad, at);
    const GatedProduct product{{filters, group.rows.sink},
                               {patches, group.columns.sink == nullptr ? nullptr : &sink},
                               grad,
                               {{position, group.places.first.column}, shape.output_size(), true},
                               true};
    gated += AddGradients(accumulator, estimator, {product}, {0, shape.batch}, SerialParallel());
  }
  return gated;
}

}  // namespace lba
