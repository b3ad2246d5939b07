#include "kernels/cpu/integers/statistics.h"

#include <algorithm>
#include <cmath>
#include <memory>

#include "common/levels.h"
#include "common/sampling.h"
#include "lba/watched_run.h"

namespace lba {
namespace {

constexpr int64_t kTasks = 16;
constexpr int kLanes = 32;

// Exact sums of products in groups, prefix by prefix, as far as they go: [level][lane].
struct Prefixes {
  int64_t sums[2][kLanes] = {}, largest[kMaxLevels][kLanes] = {};

  void Raise(int level, int lane, int64_t value) {
    largest[level][lane] = std::max(largest[level][lane], value < 0 ? -value : value);
  }
};

// The columns of a panel [length][kLanes] against one vector: the largest magnitudes of exact values, by level.
void FollowExact(const IntegerSums& sums, const int16_t* x, const int16_t* panel, int64_t length, double* largest) {
  const bool is_one = sums.levels.size() == 1;
  const int64_t terms = is_one ? std::max<int64_t>(length, 1) : sums.levels[0].terms;
  Prefixes found;
  for (int64_t begin = 0; begin < length; begin += terms) {
    std::fill_n(found.sums[0], kLanes, 0);
    for (int64_t k = begin; k < std::min(begin + terms, length); ++k) {
      for (int lane = 0; lane < kLanes; ++lane) {
        const int64_t product = int64_t{x[k]} * panel[k * kLanes + lane];
        found.sums[0][lane] += product;
        found.Raise(0, lane, product);
        found.Raise(1, lane, found.sums[0][lane]);
      }
    }
    for (int lane = 0; lane < kLanes && !is_one; ++lane) {
      found.sums[1][lane] += found.sums[0][lane];
      found.Raise(2, lane, found.sums[1][lane]);
    }
  }
  for (int level = 0; level < kMaxLevels; ++level) {
    const int64_t most = *std::max_element(found.largest[level], found.largest[level] + kLanes);
    largest[level] = std::max(largest[level], static_cast<double>(most));
  }
}

// One sum as it is formed: exact prefixes and what happens to those of the accumulator.
class ChainCounter {
 public:
  ChainCounter(const IntegerSums& sums, const std::vector<int64_t>& offsets, Counts* counts)
      : sums_(sums), offsets_(offsets), counts_(*counts) {}

  void Follow(const int16_t* x, const int16_t* w) const {
    const int64_t length = static_cast<int64_t>(offsets_.size());
    const bool is_one = sums_.levels.size() == 1;
    const int64_t terms = is_one ? std::max<int64_t>(length, 1) : sums_.levels[0].terms;
    Sum total;
    for (int64_t begin = 0; begin < length; begin += terms) {
      Sum sum;
      bool is_any = false;
      for (int64_t k = begin; k < std::min(begin + terms, length); ++k) {
        if (offsets_[k] < 0) continue;
        is_any = true;
        const int64_t exact = int64_t{x[k]} * w[k], rounded = RoundedProduct(exact, sums_);
        Count(0, exact, HeldSum(0, rounded, sums_.levels[0], sums_.dropped_bits) != rounded);
        Add(1, exact, rounded, &sum);
      }
      if (is_any && !is_one) Add(2, sum.exact, sum.held, &total);
    }
  }

 private:
  struct Sum {
    int64_t exact = 0, held = 0;
  };

  void Add(int level, int64_t exact, int64_t addend, Sum* sum) const {
    const int64_t before = sum->held;
    sum->exact += exact;
    sum->held = HeldSum(before, addend, sums_.levels[level - 1], sums_.dropped_bits);
    int64_t unbounded;
    const bool is_beyond = __builtin_add_overflow(before, addend, &unbounded);
    Count(level, sum->exact, is_beyond || unbounded != sum->held);
  }

  void Count(int level, int64_t exact, bool is_event) const {
    LbaLevel& counted = counts_.levels[level];
    ++counted.values;
    counted.events[0] += is_event;
    const int bin = Log2Bin(static_cast<double>(exact));
    if (bin >= 0) ++counted.log2[bin];
  }

  const IntegerSums& sums_;
  const std::vector<int64_t>& offsets_;
  Counts& counts_;
};

void CountSamples(const IntegerSums& sums, const ChainSource& moving, const ChainSource& fixed,
                  const std::vector<int64_t>& offsets, const SampledPositions& samples, int64_t task,
                  StatisticsCollector* collector) {
  Counts counts(sums.levels.size() + 1);
  const ChainCounter counter(sums, offsets, &counts);
  Chain x, w;
  for (int64_t column = 0; column < fixed.vectors(); ++column) {
    ThrowIfStopped();
    fixed.Load(column, &w);
    for (int64_t sample = task; sample < samples.count; sample += kTasks) {
      moving.Load(samples.first + sample * samples.step, &x);
      counter.Follow(x.values.data(), w.values.data());
      ++counts.sampled_outputs;
    }
  }
  collector->Merge(counts);
}

void CountLargest(const IntegerSums& sums, const ChainSource& moving, const ChainSource& fixed, int64_t length,
                  int64_t first_column, StatisticsCollector* collector) {
  std::vector<int16_t> panel(length * kLanes);
  Chain chain;
  const int64_t lanes = std::min<int64_t>(fixed.vectors() - first_column, kLanes);
  for (int64_t lane = 0; lane < lanes; ++lane) {
    fixed.Load(first_column + lane, &chain);
    for (int64_t k = 0; k < length; ++k) panel[k * kLanes + lane] = chain.values[k];
  }
  double largest[kMaxLevels] = {};
  for (int64_t vector = 0; vector < moving.vectors(); ++vector) {
    ThrowIfStopped();
    moving.Load(vector, &chain);
    FollowExact(sums, chain.values.data(), panel.data(), length, largest);
  }
  collector->MergeLargest(largest);
}

}  // namespace

void CollectIntegerStatistics(const IntegerSums& sums, const ChainSource& moving, const ChainSource& fixed,
                              const std::vector<int64_t>& offsets, int64_t call, const Parallel& parallel, double share,
                              StatisticsCollector* collector) {
  constexpr double kChainShare = 0.3;
  const SampledPositions samples = SampledPositions::Of(moving.vectors(), call, collector->sampled_fraction());
  RunTasks(
      parallel, std::min(samples.count, kTasks),
      [&](int64_t task) { CountSamples(sums, moving, fixed, offsets, samples, task, collector); }, kChainShare * share);
  RunTasks(
      parallel, (fixed.vectors() + kLanes - 1) / kLanes,
      [&](int64_t task) {
        CountLargest(sums, moving, fixed, static_cast<int64_t>(offsets.size()), task * kLanes, collector);
      },
      (1 - kChainShare) * share);
  Counts outputs;
  outputs.outputs = moving.vectors() * fixed.vectors();
  collector->Merge(outputs);
}

}  // namespace lba
