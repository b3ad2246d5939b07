#include "onnxruntime/cuda_arguments.h"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string>

namespace lba::ort {
namespace {

LbaFormat CudaFormat(const FloatFormat& format) {
  return {format.mantissa_bits, format.exponent_bits, format.exponent_bias};
}

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

void Copy(const std::array<int64_t, 3>& from, int64_t (&to)[3]) { std::copy(from.begin(), from.end(), to); }

}  // namespace

LbaSpec CudaSpec(const AccumulatorSpec& spec) {
  return {CudaFormat(spec.product_format), CudaFormat(spec.accumulator_format), spec.chunk_size, spec.underflow};
}

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
  LbaCudaConvArgs args{};
  args.type = CudaType(type);
  args.rank = 3;
  args.batch = shape.batch;
  args.in_channels = shape.in_channels;
  args.out_channels = shape.out_channels;
  args.groups = shape.groups;
  Copy(shape.input, args.input);
  Copy(shape.kernel, args.kernel);
  Copy(shape.strides, args.strides);
  Copy(shape.dilations, args.dilations);
  Copy(shape.pads_begin, args.pads_begin);
  Copy(shape.pads_end, args.pads_end);
  return args;
}

}  // namespace lba::ort
