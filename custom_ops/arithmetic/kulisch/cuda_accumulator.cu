#include <memory>

#include "arithmetic/kulisch/cuda_kind.h"
#include "arithmetic/kulisch/spec.h"
#include "kernels/cuda/defined_kernels.h"
#include "kernels/cuda/statistics_kernel.h"

namespace lba {
namespace cuda {

template Counts CountMatMul<1>(const KulischChains&, const SumGroups&, const LbaCudaMatMulArgs&, int64_t, double,
                               cudaStream_t);
template Counts CountConv<1>(const KulischChains&, const SumGroups&, const ConvShape&, const Values&, const Values&,
                             int64_t, double, cudaStream_t);

}  // namespace cuda

namespace {

class CudaKulisch : public Kulisch {
 public:
  explicit CudaKulisch(const ResultFormat& result) : Kulisch(result), kernels_({result}) {}
  const cuda::Kernels* OnCuda() const override { return &kernels_; }

 private:
  const cuda::DefinedKernels<cuda::KulischKind> kernels_;
};

}  // namespace

SharedAccumulator MakeKulisch(const ResultFormat& result) { return std::make_shared<const CudaKulisch>(result); }

}  // namespace lba
