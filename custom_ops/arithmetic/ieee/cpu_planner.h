// Decides which kernel computes a tile in IEEE 754's formats: one of cpu_kernels.h where it gives the definition's bits
// for the operands, else the definition's.
#ifndef LBA_ARITHMETIC_IEEE_CPU_PLANNER_H_
#define LBA_ARITHMETIC_IEEE_CPU_PLANNER_H_

#include <cstdint>
#include <memory>

#include "arithmetic/chunked_float/spec.h"
#include "kernels/cpu/planner.h"

namespace lba {

// Null where there are no kernels for a specification.
std::shared_ptr<const Planner> PlanIeeeOnCpu(const AccumulatorSpec& spec, int64_t depth);

}  // namespace lba

#endif  // LBA_ARITHMETIC_IEEE_CPU_PLANNER_H_
