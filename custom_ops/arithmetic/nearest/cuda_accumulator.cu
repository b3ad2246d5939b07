#include "arithmetic/chunked_float/accumulator.h"
#include "arithmetic/nearest/cuda_steps.h"
#include "kernels/cuda/kernels.h"

namespace lba {
namespace {

class Nearest : public ChunkedFloat {
 public:
  explicit Nearest(const AccumulatorSpec& spec) : ChunkedFloat(spec), kernels_(spec) {}

  const cuda::Kernels* OnCuda() const override { return &kernels_; }

 private:
  const cuda::KernelsOf<cuda::NearestKind> kernels_;
};

}  // namespace

SharedAccumulator MakeNearest(const AccumulatorSpec& spec) { return std::make_shared<const Nearest>(spec); }

}  // namespace lba
