#include "arithmetic/truncate/cuda_steps.h"
#include "kernels/cuda/conv_kernel.h"

namespace lba::cuda {

template void RunConv(const TruncatingKind&, const ConvProblem&, const PackedOperand*, void*, cudaStream_t);
template void RunConv(const TruncatingLevelsKind&, const ConvProblem&, const PackedOperand*, void*, cudaStream_t);

}  // namespace lba::cuda
