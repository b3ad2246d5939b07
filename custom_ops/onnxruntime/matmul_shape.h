// Where the operands of MatMul and Gemm lie in memory.
#ifndef LBA_ONNXRUNTIME_MATMUL_SHAPE_H_
#define LBA_ONNXRUNTIME_MATMUL_SHAPE_H_

#include <cstdint>
#include <vector>

#include "lba/matmul.h"
#include "onnxruntime/attributes.h"

namespace lba::ort {

// Strides count elements and are 0 where an operand is broadcast. The batch dimensions are merged as far as they can
// be.
struct StridedMatMul {
  std::vector<int64_t> batch, a_batch_strides, b_batch_strides;
  int64_t rows = 0, columns = 0, depth = 0;
  int64_t a_row_stride = 0, a_depth_stride = 1;
  int64_t b_depth_stride = 0, b_column_stride = 1;
};

// The product of operands that MatMulOutput has accepted, with its output's shape; and, of a constant B, what is known
// without A: its own batch, depth, columns and strides.
StridedMatMul FullMatMul(const std::vector<int64_t>& a, const std::vector<int64_t>& b, const std::vector<int64_t>& y);
StridedMatMul ConstantMatMulB(const std::vector<int64_t>& b);

// Likewise of operands that GemmOutput has accepted.
StridedMatMul FullGemm(const std::vector<int64_t>& a, const std::vector<int64_t>& b, const GemmAttributes& attributes);
StridedMatMul ConstantGemmB(const std::vector<int64_t>& b, const GemmAttributes& attributes);

// Of Gemm's C, of rank 0 to 2, within the output.
struct AddendStrides {
  int64_t row = 0, column = 0;
};
AddendStrides GemmAddendStrides(const std::vector<int64_t>& c);

// The same with an offset for each entry of the batch.
MatMulShape WithOffsets(const StridedMatMul& strided);

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_MATMUL_SHAPE_H_
