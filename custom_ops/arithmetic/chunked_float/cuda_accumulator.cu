#include "arithmetic/chunked_float/accumulator.h"
#include "arithmetic/nearest/cuda_steps.h"
#include "arithmetic/truncate/cuda_steps.h"
#include "kernels/cuda/kernels.h"

namespace lba {
namespace {

template <class Kind>
class CudaChunkedFloat : public ChunkedFloat {
 public:
  explicit CudaChunkedFloat(const AccumulatorSpec& spec) : ChunkedFloat(spec), kernels_(spec) {}

  const cuda::Kernels* OnCuda() const override { return &kernels_; }

 private:
  const cuda::KernelsOf<Kind> kernels_;
};

}  // namespace

// Rules and orders beyond the plain ones have no kernels on a device.
SharedAccumulator MakeChunkedFloat(const AccumulatorSpec& spec) {
  if (!spec.IsPlain() || spec.tree != 0 || !spec.outer_chunks.empty())
    return std::make_shared<const ChunkedFloat>(spec);
  if (spec.rounding == Rounding::kNearest) return std::make_shared<const CudaChunkedFloat<cuda::NearestKind>>(spec);
  return std::make_shared<const CudaChunkedFloat<cuda::TruncatingKind>>(spec);
}

}  // namespace lba
