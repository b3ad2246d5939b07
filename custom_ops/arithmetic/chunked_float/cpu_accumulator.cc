#include "arithmetic/chunked_float/accumulator.h"
#include "arithmetic/chunked_float/cpu_planner.h"
#include "arithmetic/chunked_float/ruled_planner.h"
#include "arithmetic/exact_products/cpu_planner.h"
#include "arithmetic/ieee/cpu_planner.h"
#include "arithmetic/nearest/cpu_kernels.h"
#include "arithmetic/stochastic/cpu_planner.h"
#include "arithmetic/truncate/cpu_kernels.h"

namespace lba {
namespace {

// The kernels of a rounding, and the definition for what they do not compute.
template <KernelChoice kFast>
const TileKernels& OrExact(CpuPath path, const ShortCuts& cuts) {
  return path == CpuPath::kExact ? ExactChunkedFloatKernels() : kFast(path, cuts);
}

class PlainChunkedFloat : public ChunkedFloat {
 public:
  using ChunkedFloat::ChunkedFloat;

  std::shared_ptr<const Planner> PlanOnCpu(int64_t depth) const override {
    const bool is_nearest = spec().rounding == Rounding::kNearest;
    const KernelChoice kernels = is_nearest ? OrExact<NearestKernels> : OrExact<TruncatingKernels>;
    return std::make_shared<const ChunkedFloatPlanner>(spec(), depth, kernels);
  }
};

// What has kernels for some operands of some specifications, and its definition for the others.
class RuledChunkedFloat : public ChunkedFloat {
 public:
  using ChunkedFloat::ChunkedFloat;

  std::shared_ptr<const Planner> PlanOnCpu(int64_t depth) const override {
    if (auto planner = PlanIeeeOnCpu(spec(), depth)) return planner;
    if (auto planner = PlanExactProductsOnCpu(spec(), depth)) return planner;
    if (auto planner = PlanStochasticOnCpu(spec(), depth)) return planner;
    return std::make_shared<const RuledPlanner>(spec(), depth);
  }
};

}  // namespace

SharedAccumulator MakeChunkedFloat(const AccumulatorSpec& spec) {
  if (!spec.IsPlain()) return std::make_shared<const RuledChunkedFloat>(spec);
  return std::make_shared<const PlainChunkedFloat>(spec);
}

}  // namespace lba
