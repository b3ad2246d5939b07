#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/cpu/gated_product.h"
#include "lba/gradients.h"

namespace lba {
namespace {

constexpr int64_t kEnoughPanels = 8;  // of columns, to make slices of

class MatrixGradient : public ResultGradient {
 public:
  MatrixGradient(const float* grad, const MatMulShape& shape, int64_t entry, const StartGradients& starts)
      : ResultGradient(starts),
        grad_(grad + entry * shape.rows * shape.columns),
        entry_(entry),
        rows_(shape.rows),
        columns_(shape.columns) {}
  void Load(int64_t row, int rows, int64_t column, int columns, float* tile) const override {
    for (int r = 0; r < rows; ++r) {
      const float* from = grad_ + (row + r) * columns_ + column;
      std::copy(from, from + columns, tile + r * kColumnPanel);
    }
  }
  Output At(int64_t row, int64_t column) const override {
    return {{entry_, row, column}, (entry_ * rows_ + row) * columns_ + column};
  }

 private:
  const float* grad_;
  int64_t entry_, rows_, columns_;
};

// One matrix product of a batch, with everything that its GatedProduct refers to.
struct Entry {
  StridedSource rows, columns;
  MatrixGradient grad;
  VectorSink grad_rows, grad_columns;

  Entry(const MatMulShape& s, int64_t entry, const float* a, const float* b, const float* grad_y, float* grad_a,
        float* grad_b, const StartGradients& starts)
      : rows(a + s.a_offsets[entry], s.rows, s.depth, s.a_row_stride, s.a_depth_stride),
        columns(b + s.b_offsets[entry], s.columns, s.depth, s.b_column_stride, s.b_depth_stride),
        grad(grad_y, s, entry, starts),
        grad_rows(grad_a == nullptr ? nullptr : grad_a + entry * s.rows * s.depth, s.depth),
        grad_columns(grad_b == nullptr ? nullptr : grad_b + entry * s.columns * s.depth, s.depth) {}
};

}  // namespace

int64_t AddMatMulGradients(const Accumulator& accumulator, Estimator estimator, const MatMulShape& shape,
                           const float* a, const float* b, const float* grad, float* grad_a, float* grad_b,
                           const Parallel& parallel, const StartGradients& starts) {
  if (shape.batch() == 0 || shape.rows == 0 || shape.columns == 0) return 0;
  // Tiles that share a column panel reuse the larger part of what they read; rows move where columns are few.
  const bool moves_columns =
      shape.columns >= shape.rows || CeilDiv(shape.columns, kColumnPanel) * shape.batch() >= kEnoughPanels;
  std::vector<std::unique_ptr<const Entry>> entries;
  std::vector<GatedProduct> products;
  for (int64_t i = 0; i < shape.batch(); ++i) {
    entries.push_back(std::make_unique<const Entry>(shape, i, a, b, grad, grad_a, grad_b, starts));
    const Entry& entry = *entries.back();
    products.push_back({{entry.rows, grad_a == nullptr ? nullptr : &entry.grad_rows},
                        {entry.columns, grad_b == nullptr ? nullptr : &entry.grad_columns},
                        entry.grad,
                        {{shape.row_of(i), shape.first_column}, 1, false},
                        moves_columns});
  }
  const GatedProduct& first = products.front();
  const std::vector<int64_t> bounds =
      SliceBounds(first.moving().source.vectors(), first.moving_width(),
                  WantedSlices(shape.batch(), shape.rows * shape.columns * shape.depth));
  return AddGradients(accumulator, estimator, products, bounds, parallel);
}

}  // namespace lba
