// Decides which kernel computes a tile where products are exact and formats have none of IEEE 754's codes: the fused
// kernels of truncation or rounding to nearest, those of cpu_kernels.h, or the definition's.
#ifndef LBA_ARITHMETIC_EXACT_PRODUCTS_CPU_PLANNER_H_
#define LBA_ARITHMETIC_EXACT_PRODUCTS_CPU_PLANNER_H_

#include <cstdint>
#include <memory>

#include "arithmetic/chunked_float/spec.h"
#include "kernels/cpu/planner.h"

namespace lba {

// Null where there are no kernels for a specification.
std::shared_ptr<const Planner> PlanExactProductsOnCpu(const AccumulatorSpec& spec, int64_t depth);

}  // namespace lba

#endif  // LBA_ARITHMETIC_EXACT_PRODUCTS_CPU_PLANNER_H_
