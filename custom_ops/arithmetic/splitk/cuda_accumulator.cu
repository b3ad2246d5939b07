#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "arithmetic/chunked_float/accumulator.h"
#include "arithmetic/chunked_float/cuda_ruled_kind.h"
#include "arithmetic/kulisch/cuda_kind.h"
#include "arithmetic/kulisch/spec.h"
#include "arithmetic/splitk/cuda_kind.h"
#include "arithmetic/splitk/spec.h"
#include "kernels/cuda/defined_kernels.h"

namespace lba {
namespace cuda {

// Statistics of slices are counted on the CPU.
template <class Kind>
class UncountedKernels : public Kernels {
 public:
  explicit UncountedKernels(const typename Kind::Spec& spec) : spec_(spec) {}

  Counts CountMatMul(const LbaCudaMatMulArgs&, int64_t, double, cudaStream_t) const override { Refuse(); }
  Counts CountConv(const ConvShape&, const Values&, const Values&, int64_t, double, cudaStream_t) const override {
    Refuse();
  }

 protected:
  Kind KindOf(int64_t depth) const { return Kind(spec_, depth); }

 private:
  [[noreturn]] static void Refuse() {
    throw std::invalid_argument("expected no statistics of splitk on a CUDA device: they are counted on the CPU");
  }

  const typename Kind::Spec spec_;
};

}  // namespace cuda

namespace {

class CudaSplitK : public SplitK {
 public:
  CudaSplitK(const SplitKSpec& spec, std::unique_ptr<const cuda::Kernels> kernels)
      : SplitK(spec), kernels_(std::move(kernels)) {}
  const cuda::Kernels* OnCuda() const override { return kernels_.get(); }

 private:
  const std::unique_ptr<const cuda::Kernels> kernels_;  // null where slices are of a kind that has none here
};

template <class Inner>
std::unique_ptr<const cuda::Kernels> KernelsOf(const typename Inner::Spec& inner, const SplitKSpec& spec) {
  using Kind = cuda::SplitKind<Inner>;
  return std::make_unique<const cuda::DefinedKernels<Kind, cuda::UncountedKernels<Kind>>>(
      typename Kind::Spec{inner, spec.slices, spec.total});
}

std::unique_ptr<const cuda::Kernels> KernelsFor(const SplitKSpec& spec) {
  if (const auto* floats = dynamic_cast<const ChunkedFloat*>(spec.inner.get())) {
    return KernelsOf<cuda::RuledKind>(floats->spec(), spec);
  }
  if (const auto* exact = dynamic_cast<const Kulisch*>(spec.inner.get())) {
    return KernelsOf<cuda::KulischKind>({exact->result()}, spec);
  }
  return nullptr;
}

}  // namespace

SharedAccumulator MakeSplitK(const SplitKSpec& spec) {
  return std::make_shared<const CudaSplitK>(spec, KernelsFor(spec));
}

}  // namespace lba
