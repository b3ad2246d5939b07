// The largest magnitudes of products and of the sums of each level over all outputs: what calibration must hold.
#ifndef LBA_KERNELS_CPU_EXTREMES_H_
#define LBA_KERNELS_CPU_EXTREMES_H_

#include <cstdint>

#include "common/levels.h"
#include "kernels/cpu/panel.h"
#include "kernels/cpu/path_kernels.h"
#include "kernels/cpu/starts.h"
#include "lba/parallel.h"
#include "lba/statistics.h"

namespace lba {

// What sums start from, and which of them: sum `sum` of common/levels.h.
struct StartedSum {
  ProductStarts starts;
  int sum = 0;
};

// The largest that have been seen so far.
Extremes KnownExtremes(const StatisticsCollector& collector);

// Every vector of `moving` against every vector of `fixed`, unquantized, in these groups. Infinite values and NaN are
// not counted. `share`: as for RunTasks.
void CollectExtremes(const SumGroups& groups, const PanelSource& moving, const PanelSource& fixed,
                     const StartedSum& started, const Parallel& parallel, double share, StatisticsCollector* collector);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_EXTREMES_H_
