// From the gates of a tile the words of products that pass their gradient. Include it only from files that are compiled
// for one instruction set.
#ifndef LBA_KERNELS_CPU_OPEN_KERNEL_H_
#define LBA_KERNELS_CPU_OPEN_KERNEL_H_

#include <algorithm>
#include <cstring>

#include "kernels/cpu/gates.h"
#include "kernels/cpu/panel.h"

namespace lba {
namespace {  // each instruction set has its own copy

// The words of the rows of a panel, side by side. Passed by reference: not every target has registers of this size.
typedef uint32_t Words __attribute__((vector_size(4 * kRowPanel)));

inline void LoadWords(const uint32_t* words, Words* value) { std::memcpy(value, words, sizeof *value); }

inline void StoreWords(const Words& value, uint32_t* words) { std::memcpy(words, &value, sizeof value); }

inline int64_t CountOpen(const Words& open) {
  int64_t count = 0;
  for (int r = 0; r < kRowPanel; ++r) count += __builtin_popcount(open[r]);
  return count;
}

// One chunk's steps, the last first: an overflow of a sum may gate what entered before it.
template <Estimator kEstimator>
int64_t OpenChunk(const OpenArgs& args, int64_t begin, int64_t end, const Words& open_chunk) {
  int64_t count = 0;
  Words later{};
  for (int64_t k = end - 1; k >= begin; --k) {
    uint32_t* word = args.sums + k * kRowPanel;
    Words gated, other;
    LoadWords(word, &gated);
    if constexpr (kEstimator == Estimator::kImmediateDifference) {
      LoadWords(args.rows_not_zero + k * kRowPanel, &other);
      gated &= other & args.columns_not_zero[k];
    } else {
      if constexpr (kEstimator == Estimator::kRecursiveOverflow) gated = later |= gated;
      LoadWords(args.products + k * kRowPanel, &other);
      gated |= other;
    }
    const Words open = open_chunk & ~gated;
    StoreWords(open, word);
    count += CountOpen(open);
  }
  return count;
}

// A chain of groups of a level, the last first. `open_chain` has the bits that no chain further out gates, `joins` the
// words of the level's groups.
template <Estimator kEstimator>
int64_t OpenChain(const OpenArgs& args, int level, uint32_t* joins, int64_t begin, int64_t end,
                  const Words& open_chain) {
  const int64_t length = args.order->lengths[level];
  int64_t count = 0;
  Words later{};
  for (int64_t group = (end - 1) / length; group * length >= begin; --group) {
    const int64_t first = group * length, last = std::min(first + length, end);
    Words gated;
    LoadWords(joins + group * kRowPanel, &gated);
    if constexpr (kEstimator == Estimator::kRecursiveOverflow) gated = later |= gated;
    const Words open = open_chain & ~gated;
    if (level > 0) {
      uint32_t* inner = joins - CountGroups(*args.order, level - 1, args.depth) * kRowPanel;
      count += OpenChain<kEstimator>(args, level - 1, inner, first, last, open);
    } else if (args.watch == Watch::kJoins) {
      StoreWords(open, joins + group * kRowPanel);
      count += CountOpen(open) * (last - first);
    } else {
      count += OpenChunk<kEstimator>(args, first, last, open);
    }
  }
  return count;
}

template <Estimator kEstimator>
int64_t OpenTile(const OpenArgs& args) {
  Words valid{};  // the bits that stand for products
  for (int r = 0; r < args.row_count; ++r) valid[r] = ~uint32_t{0} >> (kColumnPanel - args.column_count);
  const int level = args.order->levels - 1;
  const int64_t inner = CountGroups(*args.order, args.depth) - CountGroups(*args.order, level, args.depth);
  const int64_t count = OpenChain<kEstimator>(args, level, args.joins + inner * kRowPanel, 0, args.depth, valid);
  return args.depth * args.row_count * args.column_count - count;
}

inline int64_t OpenTileBy(const OpenArgs& args) {
  if (args.estimator == Estimator::kImmediateOverflow) return OpenTile<Estimator::kImmediateOverflow>(args);
  if (args.estimator == Estimator::kRecursiveOverflow) return OpenTile<Estimator::kRecursiveOverflow>(args);
  return OpenTile<Estimator::kImmediateDifference>(args);
}

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_OPEN_KERNEL_H_
