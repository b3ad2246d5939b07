// Looks at the dot products of one call on the device, as kernels/cpu/statistics_chain.h does on the CPU, with the same
// counts.
#ifndef LBA_KERNELS_CUDA_STATISTICS_H_
#define LBA_KERNELS_CUDA_STATISTICS_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "common/levels.h"
#include "kernels/cuda/operand.h"
#include "lba/conv.h"
#include "lba/cuda_api.h"
#include "lba/statistics.h"

namespace lba::cuda {

// What the `call`-th call of a node adds to the node's statistics; `sampled_fraction` is in (0, 1]. y, alpha, beta and
// c of `args` are not read. Waits for the stream. Throws CudaError. Chains are those of kernels/cpu/chain_follower.h,
// on the device, with kGroups levels of groups at most; defined in statistics_kernel.h.
template <int kGroups, class Chains>
Counts CountMatMul(const Chains& chains, const SumGroups& groups, const LbaCudaMatMulArgs& args, int64_t call,
                   double sampled_fraction, cudaStream_t stream);

// `shape` is complete; x and w are as lba/conv.h has them, on the device.
template <int kGroups, class Chains>
Counts CountConv(const Chains& chains, const SumGroups& groups, const ConvShape& shape, const Values& x,
                 const Values& w, int64_t call, double sampled_fraction, cudaStream_t stream);

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_STATISTICS_H_
