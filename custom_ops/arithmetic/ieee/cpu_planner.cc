#include "arithmetic/ieee/cpu_planner.h"

#include <optional>

#include "arithmetic/chunked_float/ruled_definition.h"
#include "arithmetic/ieee/cpu_kernels.h"
#include "kernels/cpu/definition_planner.h"

namespace lba {
namespace {

constexpr FloatFormat kFloat32{23, 8, 127, true, true};

std::optional<IeeeChain> ChainOf(const AccumulatorSpec& spec) {
  if (spec.rounding != Rounding::kNearest || spec.tree != 0) return std::nullopt;
  if (spec.accumulator_format == kFloat32 && spec.exact_products) return IeeeChain::kFusedFloat32;
  return std::nullopt;
}

class IeeePlanner : public DefinitionPlanner<RuledDefinition> {
 public:
  IeeePlanner(const AccumulatorSpec& spec, int64_t depth, IeeeChain chain)
      : DefinitionPlanner(RuledConstants::Of(spec), spec.Order(depth)), chain_(chain) {}

  PanelPlan Plan(const ValueRange&, const ValueRange&, int) const override { return {path(), false}; }
  CpuPath GatePath(const PanelPlan&) const override { return CpuPath::kExact; }

  const TileKernels& KernelsOf(CpuPath path) const override {
#if defined(__x86_64__)
    if (path == CpuPath::kAvx512) return IeeeAvx512Kernels(chain_);
    if (path == CpuPath::kAvx2) return IeeeAvx2Kernels(chain_);
#endif
    return path == CpuPath::kPortable ? IeeePortableKernels() : DefinitionPlanner::KernelsOf(path);
  }

 private:
  const IeeeChain chain_;
};

}  // namespace

std::shared_ptr<const Planner> PlanIeeeOnCpu(const AccumulatorSpec& spec, int64_t depth) {
  const std::optional<IeeeChain> chain = ChainOf(spec);
  if (!chain) return nullptr;
  return std::make_shared<const IeeePlanner>(spec, depth, *chain);
}

}  // namespace lba
