#include "onnxruntime/cuda_arguments.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "common/arguments.h"

namespace lba::ort {
namespace {

int32_t CudaType(ElementType type) { return type == kFloat16 ? LBA_FLOAT16 : LBA_FLOAT32; }

void CopyBatch(const StridedMatMul& shape, LbaCudaMatMulArgs* args) {
  const size_t rank = shape.batch.size();
  if (rank > LBA_CUDA_BATCH_RANK) {
    throw std::invalid_argument("expected at most " + std::to_string(LBA_CUDA_BATCH_RANK) +
                                " batch dimensions that cannot be merged, got " + std::to_string(rank));
  }
  args->batch_rank = static_cast<int32_t>(rank);
  std::copy(shape.batch.begin(), shape.batch.end(), args->batch);
  std::copy(shape.a_batch_strides.begin(), shape.a_batch_strides.end(), args->a_batch_strides);
  std::copy(shape.b_batch_strides.begin(), shape.b_batch_strides.end(), args->b_batch_strides);
}

}  // namespace

LbaCudaMatMulArgs CudaArguments(const StridedMatMul& shape, ElementType type) {
  LbaCudaMatMulArgs args{};
  args.type = CudaType(type);
  CopyBatch(shape, &args);
  args.rows = shape.rows;
  args.columns = shape.columns;
  args.depth = shape.depth;
  args.a_row_stride = shape.a_row_stride;
  args.a_depth_stride = shape.a_depth_stride;
  args.b_depth_stride = shape.b_depth_stride;
  args.b_column_stride = shape.b_column_stride;
  args.alpha = 1.0f;
  return args;
}

LbaCudaConvArgs CudaArguments(const ConvShape& shape, ElementType type) {
  LbaCudaConvArgs args = Described<LbaCudaConvArgs>(shape);
  args.type = CudaType(type);
  return args;
}

}  // namespace lba::ort
