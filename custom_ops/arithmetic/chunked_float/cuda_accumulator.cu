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
class TilesAndStarts : public cuda::Kernels {
 public:
  TilesAndStarts(std::unique_ptr<const cuda::Kernels> tiles, std::unique_ptr<const cuda::Kernels> defined)
      : tiles_(std::move(tiles)), defined_(std::move(defined)) {}

  int64_t WorkspaceBytes(const cuda::MatMulProblem& problem, bool has_packed) const override {
    return Of(problem.output).WorkspaceBytes(problem, has_packed);
  }
  int64_t WorkspaceBytes(const cuda::ConvProblem& problem, bool has_packed) const override {
    return Of(problem.output).WorkspaceBytes(problem, has_packed);
  }
  void MatMul(const cuda::MatMulProblem& problem, const cuda::PackedOperand* packed, void* workspace,
              cudaStream_t stream) const override {
    Of(problem.output).MatMul(problem, packed, workspace, stream);
  }
  void Conv(const cuda::ConvProblem& problem, const cuda::PackedOperand* packed, void* workspace,
            cudaStream_t stream) const override {
    Of(problem.output).Conv(problem, packed, workspace, stream);
  }
  int64_t PackedBytes(const cuda::MatrixSource& source) const override { return tiles_->PackedBytes(source); }
  cuda::PackedOperand PackFixed(const cuda::MatrixSource& source, void* memory, cudaStream_t stream) const override {
    return tiles_->PackFixed(source, memory, stream);
  }
  Counts CountMatMul(const LbaCudaMatMulArgs& args, int64_t call, double sampled_fraction,
                     cudaStream_t stream) const override {
    return tiles_->CountMatMul(args, call, sampled_fraction, stream);
  }
  Counts CountConv(const ConvShape& shape, const cuda::Values& x, const cuda::Values& w, int64_t call,
                   double sampled_fraction, cudaStream_t stream) const override {
    return tiles_->CountConv(shape, x, w, call, sampled_fraction, stream);
  }

 private:
  const cuda::Kernels& Of(const cuda::Output& output) const { return output.starts ? *defined_ : *tiles_; }

  const std::unique_ptr<const cuda::Kernels> tiles_, defined_;
};

// In tiles, for sums of one level or of several.
template <class Kind, class LevelsKind>
std::unique_ptr<const cuda::Kernels> TileKernels(const AccumulatorSpec& spec) {
  std::unique_ptr<const cuda::Kernels> tiles;
  if (spec.outer_chunks.empty()) {
    tiles = std::make_unique<const cuda::KernelsOf<Kind>>(spec);
  } else {
    tiles = std::make_unique<const cuda::KernelsOf<LevelsKind>>(spec);
  }
  return std::make_unique<const TilesAndStarts>(std::move(tiles), cuda::RuledKernels(spec));
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
