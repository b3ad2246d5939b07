#include "onnxruntime/matmul_shape.h"

#include <utility>

namespace lba::ort {
namespace {

std::vector<int64_t> BatchOf(const std::vector<int64_t>& operand) {
  return operand.size() > 2 ? std::vector<int64_t>(operand.begin(), operand.end() - 2) : std::vector<int64_t>{};
}

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

// Joins neighbours through which both operands step as through one dimension.
void MergeBatch(StridedMatMul* shape) {
  std::vector<int64_t> batch, a, b;
  for (size_t i = 0; i < shape->batch.size(); ++i) {
    const int64_t size = shape->batch[i], a_stride = shape->a_batch_strides[i], b_stride = shape->b_batch_strides[i];
    if (size == 1) continue;
    const bool is_one = !batch.empty() && a.back() == size * a_stride && b.back() == size * b_stride;
    if (is_one) {
      batch.back() *= size;
      a.back() = a_stride;
      b.back() = b_stride;
    } else {
      batch.push_back(size);
      a.push_back(a_stride);
      b.push_back(b_stride);
    }
  }
  shape->batch = std::move(batch);
  shape->a_batch_strides = std::move(a);
  shape->b_batch_strides = std::move(b);
}

void DescribeB(const std::vector<int64_t>& b, StridedMatMul* shape) {
  shape->depth = b.size() == 1 ? b[0] : b[b.size() - 2];
  shape->columns = b.size() == 1 ? 1 : b.back();
  shape->b_depth_stride = shape->columns;
}

void DescribeBatch(const std::vector<int64_t>& a, const std::vector<int64_t>& b, StridedMatMul* shape) {
  const size_t rank = shape->batch.size();
  shape->a_batch_strides = BatchStrides(a, rank, shape->rows * shape->depth);
  shape->b_batch_strides = BatchStrides(b, rank, shape->depth * shape->columns);
  MergeBatch(shape);
}

std::vector<int64_t> Offsets(const std::vector<int64_t>& batch, const std::vector<int64_t>& strides) {
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

}  // namespace

StridedMatMul FullMatMul(const std::vector<int64_t>& a, const std::vector<int64_t>& b, const std::vector<int64_t>& y) {
  StridedMatMul shape;
  DescribeB(b, &shape);
  shape.rows = a.size() == 1 ? 1 : a[a.size() - 2];
  shape.a_row_stride = shape.depth;
  const size_t matrix_rank = (a.size() > 1 ? 1 : 0) + (b.size() > 1 ? 1 : 0);
  shape.batch.assign(y.begin(), y.end() - static_cast<std::ptrdiff_t>(matrix_rank));
  if (ElementCount(BatchOf(b)) == 1) {  // the rows of all matrices A form one tall matrix
    shape.rows *= ElementCount(shape.batch);
    shape.batch.clear();
  } else {
    DescribeBatch(a, b, &shape);
  }
  return shape;
}

StridedMatMul ConstantMatMulB(const std::vector<int64_t>& b) {
  StridedMatMul shape;
  DescribeB(b, &shape);
  shape.batch = BatchOf(b);
  DescribeBatch({}, b, &shape);
  return shape;
}

StridedMatMul FullGemm(const std::vector<int64_t>& a, const std::vector<int64_t>& b, const GemmAttributes& attributes) {
  StridedMatMul shape = ConstantGemmB(b, attributes);
  shape.rows = a[attributes.transposes_a ? 1 : 0];
  shape.a_row_stride = attributes.transposes_a ? 1 : a[1];
  shape.a_depth_stride = attributes.transposes_a ? a[1] : 1;
  return shape;
}

StridedMatMul ConstantGemmB(const std::vector<int64_t>& b, const GemmAttributes& attributes) {
  StridedMatMul shape;
  shape.depth = b[attributes.transposes_b ? 1 : 0];
  shape.columns = b[attributes.transposes_b ? 0 : 1];
  shape.b_depth_stride = attributes.transposes_b ? 1 : b[1];
  shape.b_column_stride = attributes.transposes_b ? b[1] : 1;
  return shape;
}

AddendStrides GemmAddendStrides(const std::vector<int64_t>& c) {
  AddendStrides strides;
  if (!c.empty() && c.back() != 1) strides.column = 1;
  if (c.size() == 2 && c[0] != 1) strides.row = c[1];
  return strides;
}

MatMulShape WithOffsets(const StridedMatMul& strided) {
  MatMulShape shape;
  shape.rows = strided.rows;
  shape.columns = strided.columns;
  shape.depth = strided.depth;
  shape.a_offsets = Offsets(strided.batch, strided.a_batch_strides);
  shape.b_offsets = Offsets(strided.batch, strided.b_batch_strides);
  shape.a_row_stride = strided.a_row_stride;
  shape.a_depth_stride = strided.a_depth_stride;
  shape.b_depth_stride = strided.b_depth_stride;
  shape.b_column_stride = strided.b_column_stride;
  return shape;
}

}  // namespace lba::ort
