// Decides which kernel computes a tile where products are rounded stochastically as sums are, and formats have none of
// IEEE 754's codes: one of cpu_kernels.h, or the definition's.
#ifndef LBA_ARITHMETIC_STOCHASTIC_CPU_PLANNER_H_
#define LBA_ARITHMETIC_STOCHASTIC_CPU_PLANNER_H_

#include <cstdint>
#include <memory>

#include "arithmetic/chunked_float/spec.h"
#include "kernels/cpu/planner.h"

namespace lba {

// Null where there are no kernels for a specification.
std::shared_ptr<const Planner> PlanStochasticOnCpu(const AccumulatorSpec& spec, int64_t depth);

}  // namespace lba

#endif  // LBA_ARITHMETIC_STOCHASTIC_CPU_PLANNER_H_
