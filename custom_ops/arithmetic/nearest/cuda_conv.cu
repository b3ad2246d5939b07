#include "arithmetic/nearest/cuda_steps.h"
#include "kernels/cuda/conv_kernel.h"

namespace lba::cuda {

template void RunConv(const NearestKind&, const ConvProblem&, const PackedOperand*, void*, cudaStream_t);
template void RunConv(const NearestLevelsKind&, const ConvProblem&, const PackedOperand*, void*, cudaStream_t);

}  // namespace lba::cuda
