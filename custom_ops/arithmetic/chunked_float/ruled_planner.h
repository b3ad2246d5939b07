// Plans for chunked floats by ruled_definition.h alone, one value at a time; planners with kernels for some operands
// derive from it.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_PLANNER_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_PLANNER_H_

#include <cstdint>
#include <memory>

#include "arithmetic/chunked_float/ruled_chains.h"
#include "arithmetic/chunked_float/ruled_definition.h"
#include "kernels/cpu/definition_planner.h"

namespace lba {

class RuledPlanner : public DefinitionPlanner<RuledDefinition> {
 public:
  RuledPlanner(const AccumulatorSpec& spec, int64_t depth)
      : DefinitionPlanner(RuledConstants::Of(spec), spec.Order(depth), spec.Groups(depth),
                          spec.rounding == Rounding::kStochastic),
        chains_(spec) {}

  float RoundedStart(float value, const Place& place, int64_t depth) const override {
    const RuledOutput output(definition_constants(), place);
    return static_cast<float>(output.StartFrom(value, order().last_level(), depth));
  }
  std::unique_ptr<ChainFollower> FollowChains() const override {
    return std::make_unique<ChainFollowerOf<RuledChains>>(chains_, groups(), started_sum());
  }

 private:
  const RuledChains chains_;
};

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_PLANNER_H_
