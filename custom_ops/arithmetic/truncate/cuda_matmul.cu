#include "arithmetic/truncate/cuda_steps.h"
#include "kernels/cuda/matmul_kernel.h"

namespace lba::cuda {

template void RunMatMul(const TruncatingKind&, const MatMulProblem&, const PackedOperand*, void*, cudaStream_t);
template void RunMatMul(const TruncatingLevelsKind&, const MatMulProblem&, const PackedOperand*, void*, cudaStream_t);

}  // namespace lba::cuda
