// What lba_ops_cuda is told of a node and its operands. Pointers are for the caller to fill in.
#ifndef LBA_ONNXRUNTIME_CUDA_ARGUMENTS_H_
#define LBA_ONNXRUNTIME_CUDA_ARGUMENTS_H_

#include "lba/conv.h"
#include "lba/cuda_api.h"
#include "onnxruntime/matmul_shape.h"
#include "onnxruntime/ort_abi.h"

namespace lba::ort {

// With alpha 1 and no C. Throws std::invalid_argument when there are more batch dimensions than the interface holds.
LbaCudaMatMulArgs CudaArguments(const StridedMatMul& shape, ElementType type);
LbaCudaConvArgs CudaArguments(const ConvShape& shape, ElementType type);

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_CUDA_ARGUMENTS_H_
