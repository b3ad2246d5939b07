// The arguments of entry points, checked, as the kernels take them.
#ifndef LBA_KERNELS_CUDA_PROBLEMS_H_
#define LBA_KERNELS_CUDA_PROBLEMS_H_

#include "kernels/cuda/conv.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/weights.h"
#include "lba/cuda_api.h"

namespace lba::cuda {

// Throws std::invalid_argument, with what there is, for one that CUDA does not compute.
const Accumulator& RequireOnCuda(const Accumulator& accumulator);

// Throw std::invalid_argument for what does not fit. Pointers may be null.
MatMulProblem MatMulProblemOf(const LbaAccumulator* accumulator, const LbaCudaMatMulArgs* args);
ConvProblem ConvProblemOf(const LbaAccumulator* accumulator, const LbaCudaConvArgs* args);

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_PROBLEMS_H_
