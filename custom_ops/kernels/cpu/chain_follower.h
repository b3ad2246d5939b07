// Dot products that the statistics look into, value by value.
#ifndef LBA_KERNELS_CPU_CHAIN_FOLLOWER_H_
#define LBA_KERNELS_CPU_CHAIN_FOLLOWER_H_

#include <algorithm>
#include <cstdint>

#include "common/levels.h"
#include "common/sampling.h"
#include "lba/statistics.h"

namespace lba {

constexpr int kChainLanes = 8;  // fixed vectors followed side by side, so that the additions' latencies overlap

class ChainFollower {
 public:
  virtual ~ChainFollower() = default;

  // x[depth] against `lanes` vectors fixed[depth][kChainLanes]; starts[lanes], or null for zero.
  virtual void Follow(const float* x, const float* fixed, int lanes, int64_t depth, const float* starts) = 0;
  // The events and histograms of all that was followed.
  virtual Counts Followed() const = 0;
};

// A Steps brings Chain, the state of one dot product with `exact_sums` in double, and, of the sums of common/levels.h,
//   AddProduct(x, w, chain, events), EndGroup(n, chain, events)
//   Start(n, value, depth, chain)   sum n, which no product has joined, starts from a value
template <class Steps>
class ChainFollowerOf : public ChainFollower {
 public:
  // `started_sum` is the one that starts from a value.
  ChainFollowerOf(const Steps& steps, const SumGroups& groups, int started_sum)
      : steps_(steps), groups_(groups), started_sum_(started_sum), counts_(groups.levels()) {}

  void Follow(const float* x, const float* fixed, int lanes, int64_t depth, const float* starts) override {
    typename Steps::Chain chains[kChainLanes];
    for (int lane = 0; starts != nullptr && lane < lanes; ++lane) {
      chains[lane].exact_sums[started_sum_] = starts[lane];
      steps_.Start(started_sum_, starts[lane], depth, &chains[lane]);
    }
    const int64_t run = groups_.RunLength(depth);
    for (int64_t begin = 0; begin < depth; begin += run) {
      const int64_t end = std::min(begin + run, depth);
      for (int64_t k = begin; k < end; ++k) {
        for (int lane = 0; lane < lanes; ++lane) Step(x[k], fixed[k * kChainLanes + lane], &chains[lane]);
      }
      groups_.ForEachEnded(end, depth, [&](int n) {
        for (int lane = 0; lane < lanes; ++lane) EndGroup(n, &chains[lane]);
      });
    }
  }

  Counts Followed() const override {
    Counts counts = counts_;
    for (size_t level = 0; level < counts.levels.size(); ++level) {
      counts.levels[level].values = events_.levels[level].values;
      std::copy_n(events_.levels[level].events, LBA_LEVEL_EVENTS, counts.levels[level].events);
    }
    return counts;
  }

 private:
  void Count(int level, double value) {
    const int bin = Log2Bin(value);
    if (bin >= 0) ++counts_.levels[level].log2[bin];
  }

  void Step(float x, float w, typename Steps::Chain* chain) {
    steps_.AddProduct(x, w, chain, &events_);
    Count(0, static_cast<double>(x) * static_cast<double>(w));
    Count(1, chain->exact_sums[0]);
  }

  void EndGroup(int n, typename Steps::Chain* chain) {
    steps_.EndGroup(n, chain, &events_);
    Count(n + 2, chain->exact_sums[n + 1]);
  }

  const Steps steps_;
  const SumGroups groups_;
  const int started_sum_;
  ChainEvents events_;
  Counts counts_;
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_CHAIN_FOLLOWER_H_
