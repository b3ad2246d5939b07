#include "arithmetic/nearest/cuda_steps.h"
#include "kernels/cuda/depthwise_kernel.h"

namespace lba::cuda {

template void RunDepthwise(const ConvArgs<NearestKind>&, cudaStream_t);
template void RunDepthwise(const ConvArgs<NearestLevelsKind>&, cudaStream_t);

}  // namespace lba::cuda
