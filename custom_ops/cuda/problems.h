// The arguments of entry points, checked, as the kernels take them.
#ifndef LBA_CUDA_PROBLEMS_H_
#define LBA_CUDA_PROBLEMS_H_

#include "cuda/conv.h"
#include "cuda/matmul.h"
#include "cuda/weights.h"
#include "lba/cuda_api.h"
#include "lba/format.h"

namespace lba::cuda {

// Throw std::invalid_argument for what does not fit. Pointers may be null.
MatMulProblem MatMulProblemOf(const LbaAccumulator* accumulator, const LbaCudaMatMulArgs* args);
ConvProblem ConvProblemOf(const LbaAccumulator* accumulator, const LbaCudaConvArgs* args);

}  // namespace lba::cuda

#endif  // LBA_CUDA_PROBLEMS_H_
