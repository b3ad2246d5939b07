// What finishes the rows of a tile whose rows are filters.
#ifndef LBA_KERNELS_CPU_INTEGERS_FILTER_FINISH_H_
#define LBA_KERNELS_CPU_INTEGERS_FILTER_FINISH_H_

#include <cstdint>

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

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_FILTER_FINISH_H_
