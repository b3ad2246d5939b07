// What the statistics tell of one dot product by ruled_definition.h, value by value, adder trees among its sums. Random
// bits are those of the output in row 0 and column 0: as good as any to count with. Usable on the host and on a GPU.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_CHAINS_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_CHAINS_H_

#include <cmath>
#include <cstdint>

#include "arithmetic/chunked_float/ruled_definition.h"
#include "arithmetic/chunked_float/spec.h"
#include "arithmetic/chunked_float/statistics_chain.h"
#include "common/host_device.h"
#include "common/levels.h"
#include "common/sum_order.h"

namespace lba {

class RuledChains {
 public:
  static constexpr int kEvents = 4;  // of a level, at most

  struct Chain {
    double exact_sums[kMaxSums]{}, sums[kMaxSums]{};
    int64_t firsts[kMaxSums]{};  // product of each sum
    int64_t products = 0;
    // Of a tree: the sums that wait for their neighbours, with and without rounding, and the first product of each.
    double waiting[SumOrder::kMostWaiting], exact_waiting[SumOrder::kMostWaiting];
    int64_t waiting_firsts[SumOrder::kMostWaiting];
    int count = 0;
    int64_t in_tree = 0;
    // Of interleaved lanes, likewise.
    double lanes[SumOrder::kMostLanes], exact_lanes[SumOrder::kMostLanes];
  };

  explicit RuledChains(const AccumulatorSpec& spec)
      : constants_(RuledConstants::Of(spec)),
        is_tree_(spec.tree != 0),
        carries_(spec.carries),
        lanes_(static_cast<int>(spec.lanes)),
        has_subnormals_(spec.accumulator_format.has_subnormals) {}

  LBA_HOST_DEVICE void Start(int n, float value, int64_t depth, Chain* chain) const {
    chain->sums[n] = Output().StartFrom(value, n + 1, depth);
  }

  LBA_HOST_DEVICE void AddProduct(float x, float w, Chain* chain, ChainEvents* events) const {
    AddProduct(static_cast<double>(x) * static_cast<double>(w), chain, events);
  }
  LBA_HOST_DEVICE void AddProduct(double exact, Chain* chain, ChainEvents* events) const {
    const int64_t k = chain->products++;
    const double product = Output().Product(exact, k);
    CountProduct(exact, product, &events->levels[0]);
    if (lanes_ != 0) return AddToLane(exact, product, k, chain, events);
    if (is_tree_) return AddToTree(exact, product, k, chain, events);
    chain->exact_sums[0] += exact;
    chain->sums[0] = Sum(product, chain->sums[0], 1, k, &events->levels[1]);
  }

  LBA_HOST_DEVICE void EndGroup(int n, Chain* chain, ChainEvents* events) const {
    if (is_tree_ && n == 0) EndTree(chain, events);
    if (lanes_ != 0 && n == 0) EndLanes(chain, events);
    if (carries_ && n == 0) return EndCarrying(chain, &events->levels[2]);
    chain->exact_sums[n + 1] += chain->exact_sums[n];
    chain->sums[n + 1] = Sum(chain->sums[n], chain->sums[n + 1], n + 2, chain->firsts[n], &events->levels[n + 2]);
    chain->exact_sums[n] = chain->sums[n] = 0;
    chain->firsts[n] = chain->products;
  }

 private:
  enum RuledEvent { kSubnormal = kSwamped + 1 };

  LBA_HOST_DEVICE RuledOutput Output() const { return RuledOutput(constants_, {}); }

  LBA_HOST_DEVICE bool IsSubnormal(double value, const RuledFormat& format) const {
    return has_subnormals_ && value != 0 && std::fabs(value) < std::ldexp(1.0, format.min_exponent);
  }

  LBA_HOST_DEVICE void CountProduct(double exact, double product, LevelEvents* counts) const {
    ++counts->values;
    if (constants_.exact_products) return;
    counts->events[kOverflow] += constants_.product.IsLargest(product);
    counts->events[kUnderflow] += exact != 0 && product == 0;
    // Products have no event of swamping: theirs move up.
    if (has_subnormals_) counts->events[kSwamped] += IsSubnormal(product, constants_.product);
  }

  LBA_HOST_DEVICE double Sum(double addend, double before, int level, int64_t k, LevelEvents* counts) const {
    const double after = Output().Join(before, addend, level, k);
    const bool overflows = constants_.accumulator.IsLargest(after);
    ++counts->values;
    counts->events[kOverflow] += overflows;
    counts->events[kUnderflow] += AddToOdd(addend, before) != 0 && after == 0;
    counts->events[kSwamped] += addend != 0 && after == before && !overflows;
    if (has_subnormals_) counts->events[kSubnormal] += IsSubnormal(after, constants_.accumulator);
    return after;
  }

  // The sum that a product completes is what the histograms count.
  LBA_HOST_DEVICE void AddToTree(double exact, double product, int64_t k, Chain* chain, ChainEvents* events) const {
    if (carries_ && chain->in_tree == 0) {
      chain->waiting[0] = chain->sums[1];
      chain->exact_waiting[0] = chain->exact_sums[1];
      chain->waiting_firsts[0] = k;
      chain->count = 1;
      chain->in_tree = 1;
    }
    double sum = product;
    int64_t first = k;
    for (int64_t seen = ++chain->in_tree; seen % 2 == 0; seen /= 2) {
      const int top = --chain->count;
      sum = Sum(sum, chain->waiting[top], 1, first, &events->levels[1]);
      exact += chain->exact_waiting[top];
      first = chain->waiting_firsts[top];
    }
    chain->waiting[chain->count] = sum;
    chain->exact_waiting[chain->count] = chain->exact_sums[0] = exact;
    chain->waiting_firsts[chain->count++] = first;
  }

  LBA_HOST_DEVICE void EndTree(Chain* chain, ChainEvents* events) const {
    double sum = chain->waiting[chain->count - 1], exact = chain->exact_waiting[chain->count - 1];
    if (chain->in_tree == 1) sum = Sum(sum, 0, 1, chain->waiting_firsts[0], &events->levels[1]);
    for (int top = chain->count - 2; top >= 0; --top) {
      sum = Sum(sum, chain->waiting[top], 1, chain->waiting_firsts[top + 1], &events->levels[1]);
      exact += chain->exact_waiting[top];
    }
    chain->sums[0] = sum;
    chain->exact_sums[0] = exact;
    chain->count = 0;
    chain->in_tree = 0;
  }

  LBA_HOST_DEVICE void AddToLane(double exact, double product, int64_t k, Chain* chain, ChainEvents* events) const {
    const int64_t lane = chain->in_tree % lanes_;
    if (chain->in_tree == lane) {
      const bool is_carried = carries_ && lane == 0;
      chain->lanes[lane] = is_carried ? chain->sums[1] : 0;
      chain->exact_lanes[lane] = is_carried ? chain->exact_sums[1] : 0;
    }
    ++chain->in_tree;
    chain->exact_sums[0] = chain->exact_lanes[lane] += exact;
    chain->lanes[lane] = Sum(product, chain->lanes[lane], 1, k, &events->levels[1]);
  }

  LBA_HOST_DEVICE void EndLanes(Chain* chain, ChainEvents* events) const {
    auto count = static_cast<int>(chain->in_tree < lanes_ ? chain->in_tree : lanes_);
    for (; count > 1; count = (count + 1) / 2) {
      for (int i = 0; i + 1 < count; i += 2) {
        chain->lanes[i / 2] = Sum(chain->lanes[i + 1], chain->lanes[i], 1, 0, &events->levels[1]);
        chain->exact_lanes[i / 2] = chain->exact_lanes[i] + chain->exact_lanes[i + 1];
      }
      if (count % 2 == 0) continue;
      chain->lanes[count / 2] = chain->lanes[count - 1];
      chain->exact_lanes[count / 2] = chain->exact_lanes[count - 1];
    }
    chain->sums[0] = chain->lanes[0];
    chain->exact_sums[0] = chain->exact_lanes[0];
    chain->in_tree = 0;
  }

  // What began with the running sum is the next one.
  LBA_HOST_DEVICE void EndCarrying(Chain* chain, LevelEvents* counts) const {
    ++counts->values;
    counts->events[kOverflow] += constants_.accumulator.IsLargest(chain->sums[0]);
    chain->exact_sums[1] = chain->exact_sums[0];
    chain->sums[1] = chain->sums[0];
    chain->exact_sums[0] = chain->sums[0] = 0;
    chain->firsts[0] = chain->products;
  }

  const RuledConstants constants_;
  const bool is_tree_, carries_;
  const int lanes_;
  const bool has_subnormals_;
};

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_CHAINS_H_
