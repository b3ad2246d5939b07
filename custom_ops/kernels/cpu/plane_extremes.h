// The largest magnitudes of a convolution whose groups have few filters, depthwise above all: from padded copies of the
// input, many positions of one filter at a time.
#ifndef LBA_KERNELS_CPU_PLANE_EXTREMES_H_
#define LBA_KERNELS_CPU_PLANE_EXTREMES_H_

#include "kernels/cpu/planner.h"
#include "lba/conv.h"
#include "lba/parallel.h"
#include "lba/starts.h"
#include "lba/statistics.h"

namespace lba {

// All outputs, unquantized, in the planner's groups, as CollectExtremes has them. x, w and `share`: as for Conv and
// RunTasks. The shape has modest planes.
void CollectPlaneExtremes(const Planner& planner, const ConvShape& shape, const float* x, const float* w,
                          const Starts& starts, const Parallel& parallel, double share, StatisticsCollector* collector);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_PLANE_EXTREMES_H_
