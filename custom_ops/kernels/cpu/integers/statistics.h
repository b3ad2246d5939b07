// Looks at the sums of integer products while they are computed.
#ifndef LBA_KERNELS_CPU_INTEGERS_STATISTICS_H_
#define LBA_KERNELS_CPU_INTEGERS_STATISTICS_H_

#include <cstdint>
#include <vector>

#include "kernels/cpu/integers/chains.h"
#include "lba/parallel.h"
#include "lba/statistics.h"

namespace lba {

// Merges the largest exact values of all outputs, and the histograms and events of sampled vectors of `moving` (as
// kernels/cpu/statistics_chain.h does) against all of `fixed`. `offsets` tells by -1 the places of a chain that hold no
// product. `share`: as for RunTasks.
void CollectIntegerStatistics(const IntegerSums& sums, const ChainSource& moving, const ChainSource& fixed,
                              const std::vector<int64_t>& offsets, int64_t call, const Parallel& parallel, double share,
                              StatisticsCollector* collector);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_STATISTICS_H_
