#include <utility>

#include "lba/matmul.h"
#include "onnxruntime/kernel.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

// The strides of the batch dimensions of an operand within the batch of the output; 0 where it is broadcast.
std::vector<int64_t> BatchStrides(const std::vector<int64_t>& operand, size_t batch_rank, int64_t matrix_size) {
  std::vector<int64_t> strides(batch_rank, 0);
  int64_t stride = matrix_size;
  for (size_t i = operand.size() > 2 ? operand.size() - 2 : 0, place = batch_rank; i > 0; --i) {
    --place;
    strides[place] = operand[i - 1] == 1 ? 0 : stride;
    stride *= operand[i - 1];
  }
  return strides;
}

// Where the operand's matrix for each entry of the batch begins.
std::vector<int64_t> BatchOffsets(const std::vector<int64_t>& operand, const std::vector<int64_t>& batch,
                                  int64_t matrix_size) {
  const std::vector<int64_t> strides = BatchStrides(operand, batch.size(), matrix_size);
  std::vector<int64_t> offsets{0};
  for (size_t axis = 0; axis < batch.size(); ++axis) {
    std::vector<int64_t> longer;
    longer.reserve(offsets.size() * static_cast<size_t>(batch[axis]));
    for (int64_t offset : offsets) {
      for (int64_t i = 0; i < batch[axis]; ++i) longer.push_back(offset + i * strides[axis]);
    }
    offsets = std::move(longer);
  }
  return offsets;
}

std::vector<int64_t> BatchOf(const std::vector<int64_t>& operand) {
  return operand.size() > 2 ? std::vector<int64_t>(operand.begin(), operand.end() - 2) : std::vector<int64_t>{};
}

int64_t Product(const std::vector<int64_t>& values) {
  int64_t product = 1;
  for (int64_t value : values) product *= value;
  return product;
}

void DescribeB(const std::vector<int64_t>& b, MatMulShape* shape) {
  shape->depth = b.size() == 1 ? b[0] : b[b.size() - 2];
  shape->columns = b.size() == 1 ? 1 : b.back();
  shape->b_depth_stride = shape->columns;
  shape->b_column_stride = 1;
}

MatMulShape ConstantBShape(const std::vector<int64_t>& b) {
  MatMulShape shape;
  DescribeB(b, &shape);
  shape.b_offsets = BatchOffsets(b, BatchOf(b), shape.depth * shape.columns);
  return shape;
}

MatMulShape FullShape(const std::vector<int64_t>& a, const std::vector<int64_t>& b, const std::vector<int64_t>& batch) {
  MatMulShape shape;
  DescribeB(b, &shape);
  shape.rows = a.size() == 1 ? 1 : a[a.size() - 2];
  shape.a_row_stride = shape.depth;
  if (Product(BatchOf(b)) == 1) {  // the rows of all matrices A form one tall matrix
    shape.rows *= Product(batch);
    shape.a_offsets = shape.b_offsets = {0};
  } else {
    shape.a_offsets = BatchOffsets(a, batch, shape.rows * shape.depth);
    shape.b_offsets = BatchOffsets(b, batch, shape.depth * shape.columns);
  }
  return shape;
}

std::vector<int64_t> OutputBatch(const std::vector<int64_t>& a, const std::vector<int64_t>& b,
                                 const std::vector<int64_t>& y) {
  const size_t matrix_rank = (a.size() > 1 ? 1 : 0) + (b.size() > 1 ? 1 : 0);
  return std::vector<int64_t>(y.begin(), y.end() - static_cast<std::ptrdiff_t>(matrix_rank));
}

class MatMulKernel : public Kernel {
 public:
  explicit MatMulKernel(const Node& node)
      : spec_(ReadAccumulatorSpec(node.attributes())), statistics_(ReadStatistics(node.attributes())), b_(node, 1) {
    MatMulOutput(node.InputShape(0), node.InputShape(1));
    if (b_.constant() == nullptr) return;
    packed_b_ = PackMatrices(spec_, ConstantBShape(b_.dimensions()), b_.constant(), SerialParallel());
  }

  void Compute(const Call& call) const override {
    const Tensor a = call.Input(0);
    const Tensor b = call.Input(1);
    RequireRank(a);
    RequireRank(b);
    const std::vector<int64_t> dimensions =
        KnownDimensions(MatMulOutput(KnownShape(a.dimensions), KnownShape(b.dimensions)));
    const FloatOutput y(call, a.type, dimensions);
    if (y.count() == 0) return;
    const MatMulShape shape =
        FullShape(a.dimensions, b.dimensions, OutputBatch(a.dimensions, b.dimensions, dimensions));
    const Floats a_values(a);
    const Floats b_values = b_.Of(b);
    MatMul(spec_, shape, a_values.data(), b_values.data(), packed_b_.get(), y.data(), SessionParallel(call),
           statistics_.get());
    y.Finish();
  }

 private:
  AccumulatorSpec spec_;
  std::shared_ptr<StatisticsCollector> statistics_;
  Weights b_;
  std::shared_ptr<const PackedMatrices> packed_b_;
};

}  // namespace

std::unique_ptr<Kernel> MakeMatMulKernel(const Node& node) { return std::make_unique<MatMulKernel>(node); }

}  // namespace lba::ort
