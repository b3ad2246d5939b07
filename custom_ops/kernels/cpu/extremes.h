// The largest magnitudes of products, prefix sums and running totals over all outputs: what calibration must hold.
#ifndef LBA_KERNELS_CPU_EXTREMES_H_
#define LBA_KERNELS_CPU_EXTREMES_H_

#include <cstdint>

#include "kernels/cpu/panel.h"
#include "lba/parallel.h"
#include "lba/statistics.h"

namespace lba {

// Every vector of `moving` against every vector of `fixed`, unquantized, in chunks of `chunk`. Infinite values and NaN
// are not counted. `share`: as for RunTasks.
void CollectExtremes(int64_t chunk, const PanelSource& moving, const PanelSource& fixed, const Parallel& parallel,
                     double share, StatisticsCollector* collector);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_EXTREMES_H_
