// What finishes the rows of a tile whose rows are filters.
#ifndef LBA_KERNELS_CPU_INTEGERS_FILTER_FINISH_H_
#define LBA_KERNELS_CPU_INTEGERS_FILTER_FINISH_H_

#include <cstdint>
#include <vector>

#include "kernels/cpu/integers/integer_filter.h"
#include "kernels/cpu/integers/lane_finish.h"

namespace lba {

class FilterFinish {
 public:
  // `sum`: of the filter's values in the kernel.
  FilterFinish(const IntegerEpilogue& epilogue, const IntegerPlan& plan, const CorrectionSteps& steps, int64_t depth,
               int64_t channel, int64_t sum) {
    SetEpilogue(epilogue, plan, &finish_);
    finish_.before = Of(steps.before, sum, depth);
    finish_.behind = Of(steps.behind, sum - depth * steps.shifts.w, depth);
    RowCorrection& last = plan.holds_sums ? finish_.before : finish_.behind;
    const int32_t bias = epilogue.bias == nullptr ? 0 : epilogue.bias[channel];
    last.term = static_cast<int32_t>(static_cast<uint32_t>(last.term) + static_cast<uint32_t>(bias));
    finish_.scale = ScaleOf(epilogue, channel);
    finish_.has_float_bias = epilogue.float_bias != nullptr;
    if (finish_.has_float_bias) finish_.float_bias = epilogue.float_bias[channel];
  }

  const RowFinish& finish() const { return finish_; }
  // Whether corrections need sums of the values of lanes: in the kernel, and in the accumulator.
  bool wants_sums() const { return finish_.before.factor != 0 || finish_.behind.factor != 0; }
  RowFinish WithSums(const int32_t* before, const int32_t* behind) const {
    RowFinish with = finish_;
    with.before.lane_factors = with.before.factor == 0 ? nullptr : before;
    with.behind.lane_factors = with.behind.factor == 0 ? nullptr : behind;
    return with;
  }

 private:
  static RowCorrection Of(const Offsets& offsets, int64_t sum, int64_t depth) {
    RowCorrection correction;
    correction.factor = static_cast<int32_t>(-offsets.w);
    correction.term = static_cast<int32_t>(depth * offsets.x * offsets.w - offsets.x * sum);
    return correction;
  }

  RowFinish finish_;
};

// Of all filters of a convolution, by output channel.
class FilterFinishes {
 public:
  FilterFinishes(const IntegerSums& sums, const ConvShape& s, const Codes& x, const Codes& w,
                 const PackedIntegerFilter& filter, const IntegerEpilogue& epilogue) {
    finishes_.reserve(s.out_channels);
    for (int64_t group = 0; group < s.groups; ++group) {
      const PackedGroup& packed = filter.At(group);
      const int64_t filters = s.group_out_channels(), first = group * filters;
      const auto steps_of = [&](int64_t channel) {
        return CorrectionSteps(sums, packed.plan, x.type, ZeroPointOf(x, 0), w.type, ZeroPointOf(w, channel));
      };
      CorrectionSteps steps = steps_of(first);
      for (int64_t channel = first; channel < first + filters; ++channel) {  // those of neighbours are mostly the same
        if (channel > first && ZeroPointOf(w, channel) != ZeroPointOf(w, channel - 1)) steps = steps_of(channel);
        finishes_.emplace_back(epilogue, packed.plan, steps, s.depth(), channel, packed.rows->sum(channel - first));
        wants_sums_ = wants_sums_ || finishes_.back().wants_sums();
      }
    }
  }

  const FilterFinish& At(int64_t channel) const { return finishes_[channel]; }
  // Whether one of them does.
  bool wants_sums() const { return wants_sums_; }

 private:
  std::vector<FilterFinish> finishes_;
  bool wants_sums_ = false;
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_FILTER_FINISH_H_
