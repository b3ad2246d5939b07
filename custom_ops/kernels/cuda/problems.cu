#include <string>

#include "arithmetic/registry.h"
#include "common/arguments.h"
#include "common/sizes.h"
#include "kernels/cuda/problems.h"

namespace lba::cuda {
namespace {

bool IsHalf(int32_t type) {
  Require(type == LBA_FLOAT32 || type == LBA_FLOAT16,
          "expected the element type float32 (0) or float16 (1), got " + std::to_string(type));
  return type == LBA_FLOAT16;
}

// The size of the batch. Throws std::invalid_argument for sizes that are negative, or more than 2^31 - 1.
double BatchOf(const LbaCudaMatMulArgs& args) {
  double batch = 1;
  for (int i = 0; i < args.batch_rank; ++i) {
    Require(args.batch[i] >= 0 && args.batch[i] <= kMaxSize,
            "expected batch dimensions from 0 to 2^31 - 1, got " + std::to_string(args.batch[i]));
    batch *= ProductOf({args.batch[i]});
  }
  return batch;
}

// Where the last matrix of an operand begins, in elements.
double LastMatrix(const LbaCudaMatMulArgs& args, const int64_t* strides) {
  double last = 0;
  for (int i = 0; i < args.batch_rank; ++i) last += DistanceOf(args.batch[i], strides[i]);
  return last;
}

// Throws std::invalid_argument for operands that reach beyond 64 bits.
void RequireExtents(const LbaCudaMatMulArgs& args) {
  RequireExtent(LastMatrix(args, args.a_batch_strides), args.rows, args.a_row_stride, args.depth, args.a_depth_stride);
  RequireExtent(LastMatrix(args, args.b_batch_strides), args.columns, args.b_column_stride, args.depth,
                args.b_depth_stride);
  if (args.c != nullptr) RequireExtent(0, args.rows, args.c_row_stride, args.columns, args.c_column_stride);
}

// The different matrices of an operand: the batch dimensions along which it is not broadcast.
StridedIndex MatricesOf(const LbaCudaMatMulArgs& args, const int64_t* strides) {
  StridedIndex matrices;
  for (int i = 0; i < args.batch_rank; ++i) {
    if (strides[i] == 0) continue;
    matrices.sizes[matrices.rank] = args.batch[i];
    matrices.strides[matrices.rank++] = strides[i];
  }
  return matrices;
}

// For each entry of the batch, which of these it is.
StridedIndex MatrixOfEntry(const LbaCudaMatMulArgs& args, const int64_t* strides) {
  StridedIndex index;
  index.rank = args.batch_rank;
  int64_t stride = 1;
  for (int i = args.batch_rank - 1; i >= 0; --i) {
    index.sizes[i] = args.batch[i];
    index.strides[i] = strides[i] == 0 ? 0 : stride;
    if (strides[i] != 0) stride *= args.batch[i];
  }
  return index;
}

}  // namespace

const Accumulator& RequireOnCuda(const Accumulator& accumulator) {
  Require(accumulator.OnCuda() != nullptr, "expected an accumulator that CUDA computes, of a kind out of " +
                                               KindNamesOnCuda() + ", got '" + accumulator.text() +
                                               "', which the CPU computes");
  return accumulator;
}

MatMulProblem MatMulProblemOf(const LbaAccumulator* accumulator, const LbaCudaMatMulArgs* args) {
  Require(args != nullptr, "expected arguments, got null");
  Require(args->batch_rank >= 0 && args->batch_rank <= LBA_CUDA_BATCH_RANK,
          "expected 0 to 8 batch dimensions, got " + std::to_string(args->batch_rank));
  RequireMatMulSizes(BatchOf(*args), args->rows, args->columns, args->depth);
  RequireExtents(*args);
  const bool is_half = IsHalf(args->type);
  MatMulProblem problem;
  problem.accumulator = &RequireOnCuda(AccumulatorOf(accumulator));
  problem.rows = {{args->a, is_half}, MatricesOf(*args, args->a_batch_strides),
                  args->rows,         args->depth,
                  args->a_row_stride, args->a_depth_stride};
  problem.columns = {{args->b, is_half},    MatricesOf(*args, args->b_batch_strides),
                     args->columns,         args->depth,
                     args->b_column_stride, args->b_depth_stride};
  problem.row_matrices = MatrixOfEntry(*args, args->a_batch_strides);
  problem.column_matrices = MatrixOfEntry(*args, args->b_batch_strides);
  // As in Gemm, an addend times 0 is none, even where it is NaN.
  problem.output = {args->y, is_half, args->alpha, args->beta, {args->beta == 0 ? nullptr : args->c, is_half}};
  problem.output.starts = args->starts_from_c != 0;
  Require(!problem.output.starts || args->alpha == 1,
          "expected an alpha of 1 where sums start from c, got " + std::to_string(args->alpha));
  problem.addend_row_stride = args->c_row_stride;
  problem.addend_column_stride = args->c_column_stride;
  return problem;
}

ConvProblem ConvProblemOf(const LbaAccumulator* accumulator, const LbaCudaConvArgs* args) {
  Require(args != nullptr, "expected arguments, got null");
  const bool is_half = IsHalf(args->type);
  ConvProblem problem;
  problem.accumulator = &RequireOnCuda(AccumulatorOf(accumulator));
  problem.shape = ConvShapeOf(*args);
  Require(problem.shape.depth() <= kMaxSize,
          "expected a depth of at most 2^31 - 1, got " + std::to_string(problem.shape.depth()));
  problem.x = {args->x, is_half};
  problem.weights = FiltersOf(problem.shape, {args->w, is_half});
  problem.output = {args->y, is_half, 1.0f, 1.0f, {args->bias, is_half}};
  problem.output.starts = args->starts_from_bias != 0;
  return problem;
}

}  // namespace lba::cuda
