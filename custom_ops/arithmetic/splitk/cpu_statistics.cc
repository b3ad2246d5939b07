#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <vector>

#include "arithmetic/splitk/cpu_planner.h"

namespace lba {
namespace {

// What happens where slices are combined, in the order of the names.
enum Event { kOverflow, kUnderflow, kSwamped, kSubnormal };

class SlicesFollower : public ChainFollower {
 public:
  SlicesFollower(const Slices& slices, int levels)
      : slices_(slices),
        total_(slices.constants, {}),
        counts_(levels),
        rows_(slices.size * kRowPanel),
        columns_(slices.size * kColumnPanel) {
    for (const auto& planner : slices_.planners) {
      auto& follower = followers_[planner.get()];
      if (follower == nullptr) follower = planner->FollowChains();
    }
  }

  void Follow(const float* x, const float* fixed, int lanes, int64_t, const float* starts) override {
    double totals[kChainLanes]{}, exact_totals[kChainLanes]{};
    for (int lane = 0; starts != nullptr && lane < lanes; ++lane) {
      totals[lane] = slices_.StartFrom(starts[lane]);
      exact_totals[lane] = starts[lane];
    }
    int64_t begin = 0;
    for (size_t slice = 0; slice < slices_.count(); begin = slices_.end(slice++)) {
      const Planner& planner = *slices_.planners[slice];
      const int64_t depth = slices_.end(slice) - begin;
      const float* of_slice = fixed + begin * kChainLanes;
      followers_.at(&planner)->Follow(x + begin, of_slice, lanes, depth, nullptr);
      for (int lane = 0; lane < lanes; ++lane) {
        exact_totals[lane] += ExactSum(x + begin, of_slice + lane, depth);
        Count(Sum(planner, x + begin, of_slice + lane, depth), exact_totals[lane], &totals[lane]);
      }
    }
  }

  Counts Followed() const override {
    Counts counts = counts_;
    for (const auto& [planner, follower] : followers_) {
      const Counts own = follower->Followed();
      for (size_t level = 0; level < own.levels.size(); ++level) Add(own.levels[level], &counts.levels[level]);
    }
    return counts;
  }

 private:
  static double ExactSum(const float* x, const float* fixed, int64_t depth) {
    double sum = 0;
    for (int64_t k = 0; k < depth; ++k) sum += static_cast<double>(x[k]) * static_cast<double>(fixed[k * kChainLanes]);
    return sum;
  }

  static void Add(const LbaLevel& from, LbaLevel* to) {
    to->values += from.values;
    for (int event = 0; event < LBA_LEVEL_EVENTS; ++event) to->events[event] += from.events[event];
    for (int bin = 0; bin < LBA_LOG2_BINS; ++bin) to->log2[bin] += from.log2[bin];
  }

  // One slice by the definition of its accumulator, in row 0 and column 0.
  double Sum(const Planner& planner, const float* x, const float* fixed, int64_t depth) {
    for (int64_t k = 0; k < depth; ++k) {
      rows_[k * kRowPanel] = x[k];
      columns_[k * kColumnPanel] = fixed[k * kChainLanes];
    }
    float out[kRowPanel * kColumnPanel];
    const TileKernels& kernels = planner.KernelsOf(CpuPath::kExact);
    kernels.tile[0]({planner.constants(CpuPath::kExact), rows_.data(), columns_.data(), depth, &planner.order(), 1, 1,
                     out, TilePlaces(), nullptr});
    return out[0];
  }

  void Count(double part, double exact_total, double* total) {
    LbaLevel& counts = counts_.levels.back();
    const RuledFormat& format = slices_.constants.accumulator;
    const double after = total_.Join(*total, part, 1, 0);
    const bool overflows = format.IsLargest(after);
    ++counts.values;
    counts.events[kOverflow] += overflows;
    counts.events[kUnderflow] += AddToOdd(part, *total) != 0 && after == 0;
    counts.events[kSwamped] += part != 0 && after == *total && !overflows;
    if (slices_.total.format.has_subnormals) {
      counts.events[kSubnormal] += after != 0 && std::fabs(after) < slices_.total.format.min_value();
    }
    const int bin = Log2Bin(exact_total);
    if (bin >= 0) ++counts.log2[bin];
    *total = after;
  }

  const Slices& slices_;
  const RuledOutput total_;
  Counts counts_;
  std::map<const Planner*, std::unique_ptr<ChainFollower>> followers_;
  std::vector<float> rows_, columns_;
};

}  // namespace

std::unique_ptr<ChainFollower> FollowSlices(const Slices& slices, int levels) {
  return std::make_unique<SlicesFollower>(slices, levels);
}

}  // namespace lba
