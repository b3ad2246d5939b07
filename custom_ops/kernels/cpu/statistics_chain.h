// Looks at dot products while they are computed: the largest unquantized values of all of them; for sampled ones,
// histograms and what happens to their intermediate values.
#ifndef LBA_KERNELS_CPU_STATISTICS_CHAIN_H_
#define LBA_KERNELS_CPU_STATISTICS_CHAIN_H_

#include <cstdint>

#include "arithmetic/accumulator.h"
#include "kernels/cpu/panel.h"
#include "kernels/cpu/starts.h"
#include "lba/parallel.h"
#include "lba/statistics.h"

namespace lba {

// Which part of a node's work its products are, roughly, beside its statistics or its observer; 1 for a null.
double ProductShare(const StatisticsCollector* collector);

// Merges the extremes of all outputs, and the histograms and events of sampled vectors of `moving` (every n-th, n from
// the collector's fraction, the start depending on `call`; at least one) against all vectors of `fixed`. `share`: as
// for RunTasks.
void CollectStatistics(const Accumulator& accumulator, const PanelSource& moving, const PanelSource& fixed,
                       const ProductStarts& starts, int64_t call, const Parallel& parallel, double share,
                       StatisticsCollector* collector);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_STATISTICS_CHAIN_H_
