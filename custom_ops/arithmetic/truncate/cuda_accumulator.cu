#include "arithmetic/chunked_float/accumulator.h"
#include "arithmetic/truncate/cuda_steps.h"
#include "kernels/cuda/kernels.h"

namespace lba {
namespace {

class Truncating : public ChunkedFloat {
 public:
  explicit Truncating(const AccumulatorSpec& spec) : ChunkedFloat(spec), kernels_(spec) {}

  const cuda::Kernels* OnCuda() const override { return &kernels_; }

 private:
  const cuda::KernelsOf<cuda::TruncatingKind> kernels_;
};

}  // namespace

SharedAccumulator MakeTruncating(const AccumulatorSpec& spec) { return std::make_shared<const Truncating>(spec); }

}  // namespace lba
