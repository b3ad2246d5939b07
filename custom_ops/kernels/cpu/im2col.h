// The patches of one group of an image batch as vectors: the columns of the matrix that turns a convolution into a
// matrix product. Panels of it are packed when needed; the matrix itself never exists.
#ifndef LBA_KERNELS_CPU_IM2COL_H_
#define LBA_KERNELS_CPU_IM2COL_H_

#include <cstdint>

#include "kernels/cpu/gated_product.h"
#include "kernels/cpu/panel.h"
#include "lba/conv.h"

namespace lba {

// Vector n * output_size + position; its elements in the order of the weights: channel, then kernel positions.
class Im2colSource : public PanelSource {
 public:
  Im2colSource(const ConvShape& shape, const float* x, int64_t group) : shape_(shape), x_(x), group_(group) {}
  int64_t depth() const override { return shape_.depth(); }
  int64_t vectors() const override { return shape_.batch * shape_.output_size(); }
  void Pack(int64_t first, int count, int width, float* out) const override;

 private:
  const ConvShape& shape_;
  const float* x_;
  int64_t group_;
};

// Where the gradients of such patches go: what several patches read is added up, the padding is left out.
class Im2colSink : public PanelSink {
 public:
  Im2colSink(const ConvShape& shape, float* grad_x, int64_t group) : shape_(shape), grad_x_(grad_x), group_(group) {}
  void Add(int64_t first, int count, int width, const float* panel) const override;

 private:
  const ConvShape& shape_;
  float* grad_x_;
  int64_t group_;
};

// A 1x1 kernel that reads every position once sees the image as one long row: its patches are then consecutive values.
ConvShape Flattened(const ConvShape& shape);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_IM2COL_H_
