#include "arithmetic/ieee/cpu_planner.h"

#include <optional>

#include "arithmetic/chunked_float/ruled_planner.h"
#include "arithmetic/ieee/cpu_kernels.h"

namespace lba {
namespace {

constexpr FloatFormat kFloat32{23, 8, 127, true, true}, kFloat16{10, 5, 15, true, true};
constexpr FloatFormat kBfloat16{7, 8, 127, true, true};

std::optional<IeeeChain> ChainOf(const AccumulatorSpec& spec) {
  const FloatFormat& sums = spec.accumulator_format;
  if (spec.rounding != Rounding::kNearest || spec.tree != 0 || spec.lanes != 0) return std::nullopt;
  if (sums == kFloat16 && !spec.exact_products && spec.product_format == kFloat16) return IeeeChain::kRoundedFloat16;
  if (!spec.exact_products) return std::nullopt;
  if (sums == kFloat32) return IeeeChain::kFusedFloat32;
  if (sums == kFloat16) return IeeeChain::kFusedFloat16;
  if (sums == kBfloat16) return IeeeChain::kFusedBfloat16;
  return std::nullopt;
}

class IeeePlanner : public RuledPlanner {
 public:
  IeeePlanner(const AccumulatorSpec& spec, int64_t depth, IeeeChain chain) : RuledPlanner(spec, depth), chain_(chain) {}

  PanelPlan Plan(const ValueRange& moving, const ValueRange& fixed, int) const override {
    return Computes(moving, fixed) ? PanelPlan{path(), false} : OnDoubles(moving, fixed);
  }
  int Variant(const PanelBounds& moving, const PanelBounds& fixed, bool) const override {
    return moving.significant_bits + fixed.significant_bits <= kFloat32Bits ? 0 : 1;
  }
  const TileKernels& KernelsOf(CpuPath path) const override {
#if defined(__x86_64__)
    if (path == CpuPath::kAvx512) return IeeeAvx512Kernels(chain_);
    if (path == CpuPath::kAvx2) return IeeeAvx2Kernels(chain_);
#endif
    const bool is_fused32 = chain_ == IeeeChain::kFusedFloat32 && path == CpuPath::kPortable;
    return is_fused32 ? IeeePortableKernels() : RuledPlanner::KernelsOf(path);
  }

 private:
  static constexpr int kFloat32Bits = 24;

  // Whether the kernels of this path give the definition's bits.
  bool Computes(const ValueRange& moving, const ValueRange& fixed) const {
    if (chain_ == IeeeChain::kFusedFloat32) return true;
    if (path() == CpuPath::kPortable) return false;
    if (path() == CpuPath::kAvx2 && chain_ == IeeeChain::kRoundedFloat16) return HasErrors(moving, fixed);
    // The bits of other NaN than the processor's may round to infinity.
    return chain_ != IeeeChain::kFusedBfloat16 || (moving.is_finite() && fixed.is_finite());
  }

  // Whether float32 holds what it drops of a product, or else float16 drops the product.
  static bool HasErrors(const ValueRange& moving, const ValueRange& fixed) {
    if (!moving.is_finite() || !fixed.is_finite()) return false;
    if (moving.is_zero() || fixed.is_zero()) return true;
    return moving.max_exponent() + fixed.max_exponent() + 2 <= 127;
  }

  const IeeeChain chain_;
};

}  // namespace

std::shared_ptr<const Planner> PlanIeeeOnCpu(const AccumulatorSpec& spec, int64_t depth) {
  const std::optional<IeeeChain> chain = ChainOf(spec);
  if (!chain) return nullptr;
  return std::make_shared<const IeeePlanner>(spec, depth, *chain);
}

}  // namespace lba
