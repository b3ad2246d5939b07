#include "kernels/cpu/planner.h"

#include "common/arguments.h"

namespace lba {

std::shared_ptr<const Planner> PlannerOf(const Accumulator& accumulator, int64_t depth) {
  Require(accumulator.integers() == nullptr,
          "expected an accumulator of floats for float operands, such as M7E4b10, got " + accumulator.text());
  return accumulator.PlanOnCpu(depth);
}

}  // namespace lba
