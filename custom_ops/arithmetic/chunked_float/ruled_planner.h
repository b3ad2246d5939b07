// Plans for chunked floats by ruled_definition.h alone: on vectors of double where operands are finite, else one value
// at a time. Planners with faster kernels for some operands derive from it.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_PLANNER_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_PLANNER_H_

#include <cstdint>
#include <memory>

#include "arithmetic/chunked_float/ruled_chains.h"
#include "arithmetic/chunked_float/ruled_definition.h"
#include "arithmetic/chunked_float/ruled_kernels.h"
#include "kernels/cpu/definition_planner.h"

namespace lba {

class RuledPlanner : public DefinitionPlanner<RuledDefinition> {
 public:
  RuledPlanner(const AccumulatorSpec& spec, int64_t depth)
      : DefinitionPlanner(RuledConstants::Of(spec), spec.Order(depth), spec.Groups(depth),
                          spec.rounding == Rounding::kStochastic),
        rounding_(spec.rounding),
        exact_products_(spec.exact_products),
        has_vectors_(spec.lanes == 0 && spec.tree == 0),
        chains_(spec) {}

  PanelPlan Plan(const ValueRange& moving, const ValueRange& fixed, int) const override {
    return OnDoubles(moving, fixed);
  }
  // kPortable stands for vectors of double here: AVX2's on a path that has them.
  const TileKernels& KernelsOf(CpuPath path) const override {
    if (path == CpuPath::kExact) return DefinitionPlanner::KernelsOf(path);
#if defined(__x86_64__)
    if (this->path() != CpuPath::kPortable) return RuledAvx2Kernels(rounding_, exact_products_);
#endif
    return RuledPortableKernels(rounding_, exact_products_);
  }

  float RoundedStart(float value, const Place& place, int64_t depth) const override {
    const RuledOutput output(definition_constants(), place);
    return static_cast<float>(output.StartFrom(value, order().last_level(), depth));
  }
  std::unique_ptr<ChainFollower> FollowChains() const override {
    return std::make_unique<ChainFollowerOf<RuledChains>>(chains_, groups(), started_sum());
  }

 protected:
  // Where vectors of double give the definition's bits, else the definition.
  PanelPlan OnDoubles(const ValueRange& moving, const ValueRange& fixed) const {
    const bool can = path() != CpuPath::kExact && has_vectors_ && moving.is_finite() && fixed.is_finite();
    return {can ? CpuPath::kPortable : CpuPath::kExact, false};
  }

 private:
  const Rounding rounding_;
  const bool exact_products_, has_vectors_;
  const RuledChains chains_;
};

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_PLANNER_H_
