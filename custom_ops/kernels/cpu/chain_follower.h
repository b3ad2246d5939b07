// Dot products that the statistics look into, value by value.
#ifndef LBA_KERNELS_CPU_CHAIN_FOLLOWER_H_
#define LBA_KERNELS_CPU_CHAIN_FOLLOWER_H_

#include <algorithm>
#include <cstdint>

#include "common/sampling.h"
#include "lba/c_api.h"

namespace lba {

constexpr int kChainLanes = 8;  // fixed vectors followed side by side, so that the additions' latencies overlap

class ChainFollower {
 public:
  virtual ~ChainFollower() = default;

  // x[depth] against `lanes` vectors fixed[depth][kChainLanes].
  virtual void Follow(const float* x, const float* fixed, int lanes, int64_t depth) = 0;
  // The events and histograms of all that was followed.
  virtual LbaStatistics Counts() const = 0;
};

// A Steps brings Chain, the state of one dot product with `exact_sum` and `exact_total` in double, and
//   AddProduct(x, w, chain, events), EndChunk(chain, events)
template <class Steps>
class ChainFollowerOf : public ChainFollower {
 public:
  ChainFollowerOf(const Steps& steps, int64_t chunk) : steps_(steps), chunk_(chunk) {}

  void Follow(const float* x, const float* fixed, int lanes, int64_t depth) override {
    typename Steps::Chain chains[kChainLanes];
    for (int64_t begin = 0; begin < depth; begin += chunk_) {
      const int64_t end = std::min(begin + chunk_, depth);
      for (int64_t k = begin; k < end; ++k) {
        for (int lane = 0; lane < lanes; ++lane) Step(x[k], fixed[k * kChainLanes + lane], &chains[lane]);
      }
      for (int lane = 0; lane < lanes; ++lane) EndChunk(&chains[lane]);
    }
  }

  LbaStatistics Counts() const override {
    LbaStatistics counts = counts_;
    counts.products = events_.products;
    counts.partial_sums = events_.partial_sums;
    counts.totals = events_.totals;
    return counts;
  }

 private:
  static void CountValue(double value, int64_t* bins) {
    const int bin = Log2Bin(value);
    if (bin >= 0) ++bins[bin];
  }

  void Step(float x, float w, typename Steps::Chain* chain) {
    const double product = static_cast<double>(x) * static_cast<double>(w);
    steps_.AddProduct(x, w, chain, &events_);
    CountValue(product, counts_.products_log2);
    CountValue(chain->exact_sum, counts_.partial_sums_log2);
  }

  void EndChunk(typename Steps::Chain* chain) {
    steps_.EndChunk(chain, &events_);
    CountValue(chain->exact_total, counts_.totals_log2);
  }

  const Steps steps_;
  const int64_t chunk_;
  ChainEvents events_;
  LbaStatistics counts_{};
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_CHAIN_FOLLOWER_H_
