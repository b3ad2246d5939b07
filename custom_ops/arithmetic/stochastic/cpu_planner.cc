#include "arithmetic/stochastic/cpu_planner.h"

#include <cmath>
#include <cstdint>

#include "arithmetic/chunked_float/ruled_planner.h"
#include "arithmetic/chunked_float/short_cuts.h"
#include "arithmetic/stochastic/cpu_kernels.h"

namespace lba {
namespace {

bool IsVector(CpuPath path) { return path == CpuPath::kAvx512 || path == CpuPath::kAvx2; }

// Rounded products are halved (stochastic_tile.h) before they meet the sums.
StochasticConstants ConstantsOf(const AccumulatorSpec& spec, const TileConstants& tile) {
  return {tile, tile.accumulator_to_product / 2, tile.product_to_accumulator * 2, spec.seed, spec.random_bits};
}

class StochasticPlanner : public RuledPlanner {
 public:
  StochasticPlanner(const AccumulatorSpec& spec, int64_t depth)
      : RuledPlanner(spec, depth),
        short_cuts_(spec, depth),
        constants_(ConstantsOf(spec, short_cuts_.constants())),
        is_scaled_(IsVector(path()) && short_cuts_.is_scalable()) {}

  int FixedScaleLog2(const ValueRange& fixed) const override {
    return is_scaled_ ? short_cuts_.FixedScaleLog2(fixed) : 0;
  }
  float MovingScale(int fixed_scale_log2) const override {
    return is_scaled_ ? std::ldexp(1.0f, short_cuts_.MovingScaleLog2(fixed_scale_log2)) : 1.0f;
  }
  PanelPlan Plan(const ValueRange& moving, const ValueRange& fixed, int fixed_scale_log2) const override {
    const bool fits = is_scaled_ && short_cuts_.FitsScaled(moving, fixed, fixed_scale_log2);
    return fits ? PanelPlan{path(), false} : OnDoubles(moving, fixed);
  }
  int Variant(const PanelBounds& moving, const PanelBounds& fixed, bool is_fused) const override {
    return StartedVariant(moving, fixed, is_fused, 0);
  }
  int StartedVariant(const PanelBounds& moving, const PanelBounds& fixed, bool is_fused,
                     double largest_start) const override {
    return short_cuts_.Variant(moving, fixed, is_fused, order().is_one_chain ? largest_start : 0).index();
  }
  double StartScale(CpuPath path) const override { return IsVector(path) ? constants_.tile.start_scale() : 1; }

  const TileKernels& KernelsOf(CpuPath path) const override {
#if defined(__x86_64__)
    const bool is_rescaled = short_cuts_.sum_step() == SumStep::kRescaled;
    const StochasticProducts products = is_rescaled ? StochasticProducts::kRescaled : StochasticProducts::kScaled;
    if (path == CpuPath::kAvx512) return StochasticAvx512Kernels(products);
    if (path == CpuPath::kAvx2) return StochasticAvx2Kernels(products);
#endif
    return RuledPlanner::KernelsOf(path);
  }
  const void* constants(CpuPath path) const override {
    return IsVector(path) ? &constants_ : RuledPlanner::constants(path);
  }

 private:
  const ShortCuts short_cuts_;
  const StochasticConstants constants_;
  const bool is_scaled_;  // whether this CPU's path is for scaled operands, and some can be scaled
};

}  // namespace

std::shared_ptr<const Planner> PlanStochasticOnCpu(const AccumulatorSpec& spec, int64_t depth) {
  const bool has_codes = spec.accumulator_format.has_infinity || spec.accumulator_format.has_subnormals ||
                         spec.accumulator_format.has_dlfloat_codes;
  const bool has_kernels = spec.rounding == Rounding::kStochastic && !spec.exact_products && !has_codes;
  if (!has_kernels || spec.tree != 0 || spec.lanes != 0) return nullptr;
  return std::make_shared<const StochasticPlanner>(spec, depth);
}

}  // namespace lba
