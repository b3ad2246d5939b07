// The gradients of one matrix product, panel by panel: what matmul and convolution share.
#ifndef LBA_KERNELS_CPU_GATED_PRODUCT_H_
#define LBA_KERNELS_CPU_GATED_PRODUCT_H_

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/cpu/panel.h"
#include "kernels/cpu/tile.h"
#include "lba/gradients.h"

namespace lba {

// Where the gradients of an operand's vectors are added up.
class PanelSink {
 public:
  virtual ~PanelSink() = default;
  // Adds panel[k][j] to element k of the gradient of vector first + j, for j < count.
  virtual void Add(int64_t first, int count, int width, const float* panel) const = 0;
};

// Contiguous vectors: out[vector][depth].
class VectorSink : public PanelSink {
 public:
  VectorSink(float* out, int64_t depth) : out_(out), depth_(depth) {}
  void Add(int64_t first, int count, int width, const float* panel) const override;

 private:
  float* out_;
  int64_t depth_;
};

// The gradient of the result, and what its sums start from.
class ResultGradient {
 public:
  explicit ResultGradient(const StartGradients& starts) : starts_(starts) {}
  virtual ~ResultGradient() = default;
  // tile[r][c] = gradient of row `row` + r and column `column` + c; the rest of the tile is not touched.
  virtual void Load(int64_t row, int rows, int64_t column, int columns, float* tile) const = 0;

  bool has_starts() const { return starts_.starts.data != nullptr; }
  void LoadStarts(int64_t row, int rows, int64_t column, int columns, float* tile) const;
  // Writes the gradients of what these outputs start from; open[r] has the bits of those that are not gated, tile[r][c]
  // the gradients of the outputs.
  void PassStarts(int64_t row, int rows, int64_t column, int columns, const uint32_t* open, const float* tile) const;

  const StartGradients& starts() const { return starts_; }
  // Where an output stands: an index of Starts, and its place among the outputs.
  struct Output {
    std::array<int64_t, 3> index;
    int64_t place;
  };
  virtual Output At(int64_t row, int64_t column) const = 0;

 private:
  const StartGradients starts_;
};

struct Operand {
  const PanelSource& source;
  const PanelSink* sink;  // null where no gradient is wanted
};

// Slices of the moving operand are tasks: their gradients never share memory. Those of the fixed operand are kept apart
// for each slice and added up in the order of the slices.
struct GatedProduct {
  Operand rows, columns;
  const ResultGradient& grad;
  TilePlaces places;  // of the first row and column
  bool moves_columns;

  const Operand& moving() const { return moves_columns ? columns : rows; }
  const Operand& fixed() const { return moves_columns ? rows : columns; }
  int moving_width() const { return moves_columns ? kColumnPanel : kRowPanel; }
  int fixed_width() const { return moves_columns ? kRowPanel : kColumnPanel; }
};

// Products of the same shape. Slice i of each holds the moving vectors bounds[i] ... bounds[i + 1] - 1. Returns how
// many products of values are gated.
int64_t AddGradients(const Accumulator& accumulator, Estimator estimator, const std::vector<GatedProduct>& products,
                     const std::vector<int64_t>& bounds, const Parallel& parallel);

// bounds of about `wanted` slices, each of whole units of vectors.
std::vector<int64_t> SliceBounds(int64_t vectors, int64_t unit, int64_t wanted);

// Slices to cut each of `products` into, of so many multiplications each, so that threads share evenly.
int64_t WantedSlices(int64_t products, int64_t multiplies);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_GATED_PRODUCT_H_
