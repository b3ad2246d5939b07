#include "arithmetic/chunked_float/statistics_chain.h"
#include "kernels/cuda/statistics_kernel.h"

namespace lba::cuda {

template LbaStatistics CountMatMul(const ChunkedFloatChains&, int64_t, const LbaCudaMatMulArgs&, int64_t, double,
                                   cudaStream_t);
template LbaStatistics CountConv(const ChunkedFloatChains&, int64_t, const ConvShape&, const Values&, const Values&,
                                 int64_t, double, cudaStream_t);

}  // namespace lba::cuda
