// Looks at dot products while they are computed: the largest unquantized values of all of them; for sampled ones,
// histograms and what happens to their intermediate values.
#ifndef LBA_KERNELS_CPU_STATISTICS_CHAIN_H_
#define LBA_KERNELS_CPU_STATISTICS_CHAIN_H_

#include <cstdint>
#include <functional>

#include "arithmetic/accumulator.h"
#include "kernels/cpu/panel.h"
#include "kernels/cpu/planner.h"
#include "kernels/cpu/starts.h"
#include "lba/parallel.h"
#include "lba/statistics.h"

namespace lba {

// Which part of a node's work its products are, roughly, beside its statistics or its observer; 1 for a null.
double ProductShare(const StatisticsCollector* collector);

// The products of one call, of the same sizes: the matrices of a batch, the groups of a convolution.
struct CountedProducts {
  using Visitor = std::function<void(const PanelSource& moving, const PanelSource& fixed, const ProductStarts& starts)>;

  int64_t count, moving, fixed, depth;  // how many, their vectors, and the values of each
  std::function<void(int64_t number, const Visitor& visitor)> visit;
};

// Merges the number of outputs, and the histograms and events of sampled vectors that move (in each product every n-th,
// n from the collector's fraction, the start depending on `call` and the product's number; at least one) against all
// that are fixed. `share`: as for RunTasks.
void FollowSamples(const Planner& planner, const CountedProducts& products, int64_t call, const Parallel& parallel,
                   double share, StatisticsCollector* collector);
// How much of the work of statistics that is, roughly; the rest goes into the extremes.
constexpr double kFollowedShare = 0.3;

// Merges all that, and the extremes of all outputs.
void CollectStatistics(const Accumulator& accumulator, const CountedProducts& products, int64_t call,
                       const Parallel& parallel, double share, StatisticsCollector* collector);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_STATISTICS_CHAIN_H_
