// Which products of a tile an estimator gates, and the gradients of the others.
#ifndef LBA_KERNELS_CPU_GATES_H_
#define LBA_KERNELS_CPU_GATES_H_

#include <cstdint>

#include "common/sum_order.h"
#include "kernels/cpu/panel.h"
#include "lba/gradients.h"

namespace lba {

// What a tile's steps are watched for.
enum class Watch {
  kJoins,       // only chunks can overflow, when they join the total
  kOverflow,    // products, partial sums, joins that reach max_value
  kDifference,  // steps and joins that leave the accumulator as it was
};
constexpr int kWatches = 3;
constexpr int kGateVariants = 2;  // that a table of kernels has for each

// Bit c of a word stands for column c of a tile, word r for row r. Words of rows past the count, and bits of columns
// past it, are undefined.
struct GateArgs {
  const void* constants;
  const float* rows;     // [depth][kRowPanel]
  const float* columns;  // [depth][kColumnPanel]
  int64_t depth;
  const SumOrder* order;  // without a tree
  int row_count, column_count;
  uint32_t* products;  // [depth][kRowPanel], Watch::kOverflow: where the product does
  uint32_t* sums;      // [depth][kRowPanel], Watch::kOverflow: where the partial sum does; kDifference: steps
  uint32_t* joins;     // [groups][kRowPanel]: the groups of the innermost level, then of the next, and so on
};

inline int64_t CountGroups(const SumOrder& order, int level, int64_t depth) {
  return (depth + order.lengths[level] - 1) / order.lengths[level];
}

// Groups of all levels.
inline int64_t CountGroups(const SumOrder& order, int64_t depth) {
  int64_t groups = 0;
  for (int level = 0; level < order.levels; ++level) groups += CountGroups(order, level, depth);
  return groups;
}

// Walks through GateArgs::joins, group by group of each level.
class GroupWords {
 public:
  GroupWords(const SumOrder& order, int64_t depth, uint32_t* first) {
    for (int level = 0; level < order.levels; ++level) {
      next_[level] = first;
      first += CountGroups(order, level, depth) * kRowPanel;
    }
  }
  uint32_t* Next(int level) {
    uint32_t* word = next_[level];
    next_[level] += kRowPanel;
    return word;
  }

 private:
  uint32_t* next_[SumOrder::kMostLevels];
};

// The gates of a tile, and of an operand which values are not zero (only for Watch::kDifference).
struct OpenArgs {
  Estimator estimator;
  Watch watch;
  int64_t depth;
  const SumOrder* order;
  int row_count, column_count;
  const uint32_t* products;
  uint32_t* sums;                    // becomes open[depth][kRowPanel]; with Watch::kJoins it is not touched
  uint32_t* joins;                   // of innermost groups it becomes, with Watch::kJoins, open[chunks][kRowPanel]
  const uint32_t* rows_not_zero;     // [depth][kRowPanel], all bits or none
  const uint32_t* columns_not_zero;  // [depth]
};

// Products begin <= k < end of a tile. Adds grad[r][c] * columns[k][c] to grad_rows[k][r], over the columns, and
// grad[r][c] * rows[k][r] to grad_columns[k][c], over the rows, where bit c of open[(k - begin) * open_step + r] is
// set. One of the results may be null.
struct GradientArgs {
  const float* grad;     // [kRowPanel][kColumnPanel]
  const float* rows;     // [depth][kRowPanel]
  const float* columns;  // [depth][kColumnPanel]
  int64_t begin, end;
  int row_count, column_count;
  const uint32_t* open;  // words of rows past the count are zero
  int64_t open_step;
  float* grad_rows;
  float* grad_columns;
};

using GateKernel = void (*)(const GateArgs&);
// Of one path and arithmetic; they run under the mode of the path's tile kernels.
struct GateKernels {
  GateKernel of[kWatches][kGateVariants];
};
// Turns the gates into the words of GradientArgs::open; returns how many products are gated.
using OpenKernel = int64_t (*)(const OpenArgs&);
using GradientKernel = void (*)(const GradientArgs&);  // under FpMode::kNearest

}  // namespace lba

#endif  // LBA_KERNELS_CPU_GATES_H_
