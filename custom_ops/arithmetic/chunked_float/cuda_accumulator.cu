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

// Tiles, whose sums start from zero, and the definition for sums that start from values; it packs nothing.
template <class Kind>
class TilesAndStarts : public cuda::KernelsOf<Kind> {
  using Tiles = cuda::KernelsOf<Kind>;

 public:
  explicit TilesAndStarts(const AccumulatorSpec& spec) : Tiles(spec), defined_(cuda::RuledKernels(spec)) {}

  int64_t WorkspaceBytes(const cuda::MatMulProblem& problem, bool has_packed) const override {
    return problem.output.starts ? defined_->WorkspaceBytes(problem, has_packed)
                                 : Tiles::WorkspaceBytes(problem, has_packed);
  }
  int64_t WorkspaceBytes(const cuda::ConvProblem& problem, bool has_packed) const override {
    return problem.output.starts ? defined_->WorkspaceBytes(problem, has_packed)
                                 : Tiles::WorkspaceBytes(problem, has_packed);
  }
  void MatMul(const cuda::MatMulProblem& problem, const cuda::PackedOperand* packed, void* workspace,
              cudaStream_t stream) const override {
    if (problem.output.starts) return defined_->MatMul(problem, packed, workspace, stream);
    Tiles::MatMul(problem, packed, workspace, stream);
  }
  void Conv(const cuda::ConvProblem& problem, const cuda::PackedOperand* packed, void* workspace,
            cudaStream_t stream) const override {
    if (problem.output.starts) return defined_->Conv(problem, packed, workspace, stream);
    Tiles::Conv(problem, packed, workspace, stream);
  }

 private:
  const std::unique_ptr<const cuda::Kernels> defined_;
};

// In tiles, for sums of one level or of several.
template <class Kind, class LevelsKind>
std::unique_ptr<const cuda::Kernels> TileKernels(const AccumulatorSpec& spec) {
  if (spec.outer_chunks.empty()) return std::make_unique<const TilesAndStarts<Kind>>(spec);
  return std::make_unique<const TilesAndStarts<LevelsKind>>(spec);
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
