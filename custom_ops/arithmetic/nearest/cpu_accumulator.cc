#include "arithmetic/chunked_float/accumulator.h"
#include "arithmetic/chunked_float/cpu_planner.h"
#include "arithmetic/nearest/cpu_kernels.h"

namespace lba {
namespace {

class NearestPlanner : public ChunkedFloatPlanner {
 public:
  using ChunkedFloatPlanner::ChunkedFloatPlanner;

  const TileKernels& KernelsOf(CpuPath path) const override {
#if defined(__x86_64__)
    if (path == CpuPath::kAvx512) return NearestAvx512Kernels(short_cuts().sum_step());
    if (path == CpuPath::kAvx2) return NearestAvx2Kernels(short_cuts().sum_step());
#endif
    return path == CpuPath::kExact ? ExactChunkedFloatKernels() : NearestPortableKernels();
  }
};

class Nearest : public ChunkedFloat {
 public:
  using ChunkedFloat::ChunkedFloat;

  std::shared_ptr<const Planner> PlanOnCpu(int64_t depth) const override {
    return std::make_shared<const NearestPlanner>(spec(), depth);
  }
};

}  // namespace

SharedAccumulator MakeNearest(const AccumulatorSpec& spec) { return std::make_shared<const Nearest>(spec); }

}  // namespace lba
