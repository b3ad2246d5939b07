#include <memory>
#include <utility>

#include "arithmetic/chunked_float/accumulator.h"
#include "arithmetic/chunked_float/cuda_ruled.h"
#include "arithmetic/nearest/cuda_steps.h"
#include "arithmetic/truncate/cuda_steps.h"
#include "kernels/cuda/kernels.h"

namespace lba {
namespace {

class CudaChunkedFloat : public ChunkedFloat {
 public:
  CudaChunkedFloat(const AccumulatorSpec& spec, std::unique_ptr<const cuda::Kernels> kernels)
      : ChunkedFloat(spec), kernels_(std::move(kernels)) {}

  const cuda::Kernels* OnCuda() const override { return kernels_.get(); }

 private:
  const std::unique_ptr<const cuda::Kernels> kernels_;
};

// In tiles, for sums of one level or of several.
template <class Kind, class LevelsKind>
std::unique_ptr<const cuda::Kernels> TileKernels(const AccumulatorSpec& spec) {
  if (spec.outer_chunks.empty()) return std::make_unique<const cuda::KernelsOf<Kind>>(spec);
  return std::make_unique<const cuda::KernelsOf<LevelsKind>>(spec);
}

std::unique_ptr<const cuda::Kernels> KernelsFor(const AccumulatorSpec& spec) {
  using namespace cuda;
  if (!spec.IsPlain() || spec.tree != 0) return RuledKernels(spec);
  if (spec.rounding == Rounding::kNearest) return TileKernels<NearestKind, NearestLevelsKind>(spec);
  return TileKernels<TruncatingKind, TruncatingLevelsKind>(spec);
}

}  // namespace

SharedAccumulator MakeChunkedFloat(const AccumulatorSpec& spec) {
  return std::make_shared<const CudaChunkedFloat>(spec, KernelsFor(spec));
}

}  // namespace lba
