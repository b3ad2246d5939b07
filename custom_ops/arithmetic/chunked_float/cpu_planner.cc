#include "arithmetic/chunked_float/cpu_planner.h"

#include "arithmetic/chunked_float/ruled_chains.h"
#include "arithmetic/chunked_float/statistics_chain.h"

namespace lba {
namespace {

bool IsVectorPath(CpuPath path) { return path == CpuPath::kAvx512 || path == CpuPath::kAvx2; }

}  // namespace

ChunkedFloatPlanner::ChunkedFloatPlanner(const AccumulatorSpec& spec, int64_t depth, KernelChoice kernels)
    : Planner(spec.Order(depth)),
      spec_(spec),
      groups_(spec.Groups(depth)),
      short_cuts_(spec, depth),
      kernels_(kernels),
      is_scaled_(IsVectorPath(path()) && short_cuts_.is_scalable()) {}

PanelPlan ChunkedFloatPlanner::Plan(const ValueRange& moving, const ValueRange& fixed, int fixed_scale_log2) const {
  const bool is_exact = path() == CpuPath::kExact || !short_cuts_.fits_double();
  if (is_exact || !moving.is_finite() || !fixed.is_finite()) return {CpuPath::kExact, false};
  if (!is_scaled_ || !short_cuts_.FitsScaled(moving, fixed, fixed_scale_log2)) return {CpuPath::kPortable, false};
  return {path(), !order().is_tree && short_cuts_.CanFuse(moving, fixed, fixed_scale_log2)};
}

double ChunkedFloatPlanner::StartScale(CpuPath path) const {
  return IsVectorPath(path) ? short_cuts_.constants().start_scale() : 1;
}

PanelPlan ChunkedFloatPlanner::PlanStarts(const PanelPlan& plan, const ValueRange& starts) const {
  if (!starts.is_finite()) return {};
  const bool fits = !IsVectorPath(plan.path) || short_cuts_.FitsStarts(starts);
  return fits ? plan : PanelPlan{CpuPath::kPortable, false};
}

GatePlan ChunkedFloatPlanner::PlanGates(CpuPath path, const PanelBounds& moving, const PanelBounds& fixed) const {
  const bool can_overflow = path == CpuPath::kExact || short_cuts_.CanOverflow(moving, fixed);
  return {can_overflow, can_overflow && short_cuts_.has_underflow() ? 1 : 0};
}

std::unique_ptr<ChainFollower> ChunkedFloatPlanner::FollowChains() const {
  if (order().is_tree)
    return std::make_unique<ChainFollowerOf<RuledChains>>(RuledChains(spec_), groups(), started_sum());
  const ChunkedFloatChains chains{short_cuts_.constants().definition};
  return std::make_unique<ChainFollowerOf<ChunkedFloatChains>>(chains, groups(), started_sum());
}

}  // namespace lba
