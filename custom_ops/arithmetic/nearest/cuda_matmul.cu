#include "arithmetic/nearest/cuda_steps.h"
#include "kernels/cuda/matmul_kernel.h"

namespace lba::cuda {

template void RunMatMul(const NearestKind&, const MatMulProblem&, const PackedOperand*, void*, cudaStream_t);
template void RunMatMul(const NearestLevelsKind&, const MatMulProblem&, const PackedOperand*, void*, cudaStream_t);

}  // namespace lba::cuda
