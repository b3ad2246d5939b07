// What the statistics tell of one exact sum: one group of the whole depth, and the total, which it alone joins. Usable
// on the host and on a GPU.
#ifndef LBA_ARITHMETIC_KULISCH_CHAINS_H_
#define LBA_ARITHMETIC_KULISCH_CHAINS_H_

#include <cmath>
#include <cstdint>

#include "arithmetic/kulisch/definition.h"
#include "arithmetic/result_format.h"
#include "common/levels.h"

namespace lba {

class KulischChains {
 public:
  static constexpr int kEvents = 3;  // of a level, at most

  struct Chain {
    double exact_sums[kMaxSums]{};
    WideSum sum;
  };

  explicit KulischChains(const ResultFormat& result)
      : constants_(result.constants()),
        smallest_normal_(result.format.has_subnormals ? result.format.min_value() : 0) {}

  LBA_HOST_DEVICE void Start(int, float value, int64_t, Chain* chain) const { chain->sum.Add(value); }

  LBA_HOST_DEVICE void AddProduct(float x, float w, Chain* chain, ChainEvents* events) const {
    AddProduct(static_cast<double>(x) * static_cast<double>(w), chain, events);
  }
  LBA_HOST_DEVICE void AddProduct(double exact, Chain* chain, ChainEvents* events) const {
    chain->exact_sums[0] += exact;
    chain->sum.Add(exact);
    ++events->levels[0].values;
    ++events->levels[1].values;
  }

  LBA_HOST_DEVICE void EndGroup(int, Chain* chain, ChainEvents* events) const {
    const double exact = chain->sum.ToOdd(), total = RoundedResult(exact, constants_);
    LevelEvents& counts = events->levels[2];
    ++counts.values;
    counts.events[0] += constants_.accumulator.IsLargest(total);
    counts.events[1] += exact != 0 && total == 0;
    if (smallest_normal_ != 0) counts.events[2] += total != 0 && std::fabs(total) < smallest_normal_;
    chain->exact_sums[1] = chain->exact_sums[0];
    chain->exact_sums[0] = 0;
    chain->sum = WideSum();
  }

 private:
  const RuledConstants constants_;
  const double smallest_normal_;  // 0 where there are no subnormals
};

}  // namespace lba

#endif  // LBA_ARITHMETIC_KULISCH_CHAINS_H_
