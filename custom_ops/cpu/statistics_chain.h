// Follows sampled dot products step by step and counts what happens to their intermediate values.
#ifndef LBA_CPU_STATISTICS_CHAIN_H_
#define LBA_CPU_STATISTICS_CHAIN_H_

#include <cstdint>

#include "cpu/panel.h"
#include "lba/format.h"
#include "lba/parallel.h"
#include "lba/statistics.h"

namespace lba {

// Samples vectors of `moving` (every n-th, n from the collector's fraction, the start depending on `call`; at least
// one) against all vectors of `fixed`, and merges what it saw.
void CollectStatistics(const AccumulatorSpec& spec, const PanelSource& moving, const PanelSource& fixed, int64_t call,
                       const Parallel& parallel, StatisticsCollector* collector);

}  // namespace lba

#endif  // LBA_CPU_STATISTICS_CHAIN_H_
