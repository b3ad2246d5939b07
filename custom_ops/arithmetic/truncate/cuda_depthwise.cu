#include "arithmetic/truncate/cuda_steps.h"
#include "kernels/cuda/depthwise_kernel.h"

namespace lba::cuda {

template void RunDepthwise(const ConvArgs<TruncatingKind>&, cudaStream_t);
template void RunDepthwise(const ConvArgs<TruncatingLevelsKind>&, cudaStream_t);

}  // namespace lba::cuda
