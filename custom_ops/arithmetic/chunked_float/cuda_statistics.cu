#include "arithmetic/chunked_float/ruled_chains.h"
#include "arithmetic/chunked_float/statistics_chain.h"
#include "kernels/cuda/statistics_kernel.h"

namespace lba::cuda {

template Counts CountMatMul<1>(const ChunkedFloatChains&, const SumGroups&, const LbaCudaMatMulArgs&, int64_t, double,
                               cudaStream_t);
template Counts CountConv<1>(const ChunkedFloatChains&, const SumGroups&, const ConvShape&, const Values&,
                             const Values&, int64_t, double, cudaStream_t);
template Counts CountMatMul<kMaxGroups>(const RuledChains&, const SumGroups&, const LbaCudaMatMulArgs&, int64_t, double,
                                        cudaStream_t);
template Counts CountConv<kMaxGroups>(const RuledChains&, const SumGroups&, const ConvShape&, const Values&,
                                      const Values&, int64_t, double, cudaStream_t);

}  // namespace lba::cuda
