// Products of operands in host memory.
#ifndef LBA_KERNELS_CUDA_HOST_PRODUCTS_H_
#define LBA_KERNELS_CUDA_HOST_PRODUCTS_H_

#include "kernels/cuda/conv.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/weights.h"

namespace lba::cuda {

// Copy the operands through pinned memory to the current device, compute, copy the output back, and wait. `weights` may
// be null. Throw CudaError, or std::invalid_argument.
void RunHostMatMul(MatMulProblem problem, const LbaCudaWeights* weights);
void RunHostConv(ConvProblem problem, const LbaCudaWeights* weights);

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_HOST_PRODUCTS_H_
