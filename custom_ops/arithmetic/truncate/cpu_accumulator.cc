#include "arithmetic/chunked_float/accumulator.h"
#include "arithmetic/chunked_float/cpu_planner.h"
#include "arithmetic/truncate/cpu_kernels.h"

namespace lba {
namespace {

class TruncatingPlanner : public ChunkedFloatPlanner {
 public:
  using ChunkedFloatPlanner::ChunkedFloatPlanner;

  const TileKernels& KernelsOf(CpuPath path) const override {
#if defined(__x86_64__)
    if (path == CpuPath::kAvx512) return TruncatingAvx512Kernels();
    if (path == CpuPath::kAvx2) return TruncatingAvx2Kernels();
#endif
    return path == CpuPath::kExact ? ExactChunkedFloatKernels() : TruncatingPortableKernels();
  }
};

class Truncating : public ChunkedFloat {
 public:
  using ChunkedFloat::ChunkedFloat;

  std::shared_ptr<const Planner> PlanOnCpu(int64_t depth) const override {
    return std::make_shared<const TruncatingPlanner>(spec(), depth);
  }
};

}  // namespace

SharedAccumulator MakeTruncating(const AccumulatorSpec& spec) { return std::make_shared<const Truncating>(spec); }

}  // namespace lba
