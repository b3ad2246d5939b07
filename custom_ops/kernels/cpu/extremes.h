// The largest magnitudes of products and of the sums of each level over all outputs: what calibration must hold.
#ifndef LBA_KERNELS_CPU_EXTREMES_H_
#define LBA_KERNELS_CPU_EXTREMES_H_

#include <cstdint>

#include "common/levels.h"
#include "kernels/cpu/panel.h"
#include "lba/parallel.h"
#include "lba/statistics.h"

namespace lba {

// Every vector of `moving` against every vector of `fixed`, unquantized, in these groups. Infinite values and NaN are
// not counted. `share`: as for RunTasks.
void CollectExtremes(const SumGroups& groups, const PanelSource& moving, const PanelSource& fixed,
                     const Parallel& parallel, double share, StatisticsCollector* collector);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_EXTREMES_H_
