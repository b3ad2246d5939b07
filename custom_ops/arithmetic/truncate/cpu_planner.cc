#include "arithmetic/truncate/cpu_planner.h"

#include "arithmetic/chunked_float/accumulator.h"
#include "arithmetic/chunked_float/statistics_chain.h"
#include "arithmetic/truncate/cpu_kernels.h"

namespace lba {
namespace {

class Truncating : public ChunkedFloat {
 public:
  using ChunkedFloat::ChunkedFloat;

  std::shared_ptr<const Planner> PlanOnCpu(int64_t depth) const override {
    return std::make_shared<const TruncatingPlanner>(spec(), depth);
  }
};

bool IsVectorPath(CpuPath path) { return path == CpuPath::kAvx512 || path == CpuPath::kAvx2; }

}  // namespace

SharedAccumulator MakeTruncating(const AccumulatorSpec& spec) { return std::make_shared<const Truncating>(spec); }

TruncatingPlanner::TruncatingPlanner(const AccumulatorSpec& spec, int64_t depth)
    : Planner(spec.ChunkLength(depth)),
      short_cuts_(spec, depth),
      is_scaled_(IsVectorPath(path()) && short_cuts_.is_scalable()) {}

PanelPlan TruncatingPlanner::Plan(const ValueRange& moving, const ValueRange& fixed, int fixed_scale_log2) const {
  if (path() == CpuPath::kExact || !moving.is_finite() || !fixed.is_finite()) return {CpuPath::kExact, false};
  if (!is_scaled_ || !short_cuts_.FitsScaled(moving, fixed, fixed_scale_log2)) return {CpuPath::kPortable, false};
  return {path(), short_cuts_.CanFuse(moving, fixed, fixed_scale_log2)};
}

GatePlan TruncatingPlanner::PlanGates(CpuPath path, const PanelBounds& moving, const PanelBounds& fixed) const {
  const bool can_overflow = path == CpuPath::kExact || short_cuts_.CanOverflow(moving, fixed);
  return {can_overflow, can_overflow && short_cuts_.has_underflow() ? 1 : 0};
}

const TileKernels& TruncatingPlanner::KernelsOf(CpuPath path) const {
#if defined(__x86_64__)
  if (path == CpuPath::kAvx512) return TruncatingAvx512Kernels();
  if (path == CpuPath::kAvx2) return TruncatingAvx2Kernels();
#endif
  return path == CpuPath::kExact ? TruncatingExactKernels() : TruncatingPortableKernels();
}

std::unique_ptr<ChainFollower> TruncatingPlanner::FollowChains() const {
  const ChunkedFloatChains chains{short_cuts_.constants().definition};
  return std::make_unique<ChainFollowerOf<ChunkedFloatChains>>(chains, chunk());
}

}  // namespace lba
