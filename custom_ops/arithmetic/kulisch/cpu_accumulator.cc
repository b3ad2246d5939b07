#include <algorithm>
#include <memory>

#include "arithmetic/kulisch/bins.h"
#include "arithmetic/kulisch/chains.h"
#include "arithmetic/kulisch/cpu_kernels.h"
#include "arithmetic/kulisch/spec.h"
#include "kernels/cpu/planner.h"

namespace lba {
namespace {

SumOrder OneChain(int64_t depth) {
  SumOrder order;
  order.lengths[0] = std::max<int64_t>(depth, 1);
  order.is_one_chain = true;
  return order;
}

class KulischPlanner : public Planner {
 public:
  KulischPlanner(const ResultFormat& result, int64_t depth)
      : Planner(OneChain(depth)), result_(result), constants_(result.constants()), depth_(depth) {}

  PanelPlan Plan(const ValueRange& moving, const ValueRange& fixed, int) const override {
    return {FitsBins(moving, fixed) ? path() : CpuPath::kExact, false};
  }

  bool has_starts() const override { return true; }

  const TileKernels& KernelsOf(CpuPath path) const override {
#if defined(__x86_64__)
    if (path == CpuPath::kAvx512) return KulischAvx512Kernels();
    if (path == CpuPath::kAvx2) return KulischAvx2Kernels();
#endif
    return path == CpuPath::kPortable ? KulischPortableKernels() : KulischExactKernels();
  }
  const void* constants(CpuPath) const override { return &constants_; }
  OpenTileKernel open() const override { return OpenKulischTile; }
  std::unique_ptr<ChainFollower> FollowChains() const override {
    return std::make_unique<ChainFollowerOf<KulischChains>>(KulischChains(result_), groups(), started_sum());
  }

 private:
  bool FitsBins(const ValueRange& moving, const ValueRange& fixed) const {
    if (!moving.is_finite() || !fixed.is_finite()) return false;
    if (moving.is_zero() || fixed.is_zero()) return true;
    const int top = moving.max_exponent() + fixed.max_exponent() + 2;
    return top - LastBit(moving) - LastBit(fixed) <= kMostBins * BinBits(depth_);
  }

  // All values are multiples of 2^this.
  static int LastBit(const ValueRange& range) {
    const int exponent = range.has_subnormal() ? -126 : range.min_exponent();
    return exponent - (range.significant_bits() - 1);
  }

  const ResultFormat result_;
  const RuledConstants constants_;
  const int64_t depth_;
};

class CpuKulisch : public Kulisch {
 public:
  using Kulisch::Kulisch;

  std::shared_ptr<const Planner> PlanOnCpu(int64_t depth) const override {
    return std::make_shared<const KulischPlanner>(result(), depth);
  }
};

}  // namespace

SharedAccumulator MakeKulisch(const ResultFormat& result) { return std::make_shared<const CpuKulisch>(result); }

}  // namespace lba
