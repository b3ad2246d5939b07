// What finishes the rows of a tile whose lanes are columns or channels of the weights.
#ifndef LBA_KERNELS_CPU_INTEGERS_LANE_FINISH_H_
#define LBA_KERNELS_CPU_INTEGERS_LANE_FINISH_H_

#include <algorithm>
#include <cstdint>
#include <limits>

#include "kernels/cpu/integers/corrections.h"
#include "kernels/cpu/integers/finish.h"

namespace lba {

// Sets what is the same for all channels.
inline void SetEpilogue(const IntegerEpilogue& epilogue, const IntegerPlan& plan, RowFinish* finish) {
  finish->scale_log2 = plan.x_scale_log2 + plan.w_scale_log2;
  finish->unused_bits = plan.unused_bits;
  finish->output = epilogue.output;
  finish->zero_point = epilogue.zero_point;
  const bool is_signed = epilogue.output == IntegerOutput::kInt8;
  finish->least = static_cast<float>((is_signed ? -128 : 0) - epilogue.zero_point);
  finish->most = finish->least + 255;
}

inline float ScaleOf(const IntegerEpilogue& epilogue, int64_t channel) {
  if (epilogue.scales == nullptr) return 1;
  return epilogue.scales[epilogue.has_many_scales ? channel : 0];
}

inline int64_t BytesOf(IntegerOutput output) {
  switch (output) {
    case IntegerOutput::kInt64:
      return 8;
    case IntegerOutput::kInt32:
    case IntegerOutput::kFloat32:
      return 4;
    default:
      return 1;
  }
}

// Corrections of up to kTileLanes channels from `first` on, for rows of X.
class LaneFinish {
 public:
  // `steps_of(channel)` and `sum_of(channel)`: the corrections of a channel, and the sum of its values in the kernel.
  template <class StepsOf, class SumOf>
  LaneFinish(const IntegerEpilogue& epilogue, const IntegerPlan& plan, int64_t depth, int64_t first, int count,
             const StepsOf& steps_of, const SumOf& sum_of) {
    SetEpilogue(epilogue, plan, &finish_);
    for (int lane = 0; lane < count; ++lane) {
      const int64_t channel = first + lane;
      const CorrectionSteps steps = steps_of(channel);
      const int64_t sum = sum_of(channel);
      before_.Set(lane, steps.before, sum, depth);
      behind_.Set(lane, steps.behind, sum - depth * steps.shifts.w, depth);
      if (epilogue.bias != nullptr) (plan.holds_sums ? before_ : behind_).Add(lane, epilogue.bias[channel]);
      scales_[lane] = ScaleOf(epilogue, channel);
      if (epilogue.float_bias != nullptr) float_bias_[lane] = epilogue.float_bias[channel];
      x_shift_ = steps.shifts.x;
    }
    if (epilogue.scales != nullptr) finish_.lane_scales = scales_;
    if (epilogue.float_bias != nullptr) finish_.lane_float_bias = float_bias_;
    before_.Tell(&finish_.before);
    behind_.Tell(&finish_.behind);
    depth_ = depth;
  }
  LaneFinish(const LaneFinish&) = delete;

  // For a row whose values in the kernel have that sum.
  const RowFinish& OfRow(int64_t sum) {
    finish_.before.factor = static_cast<int32_t>(sum);
    finish_.behind.factor = static_cast<int32_t>(sum - depth_ * x_shift_);
    return finish_;
  }

 private:
  struct Lanes {
    int32_t factors[kTileLanes] = {}, terms[kTileLanes] = {};
    bool has_factors = false, has_terms = false;

    void Set(int lane, const Offsets& offsets, int64_t sum, int64_t depth) {
      factors[lane] = static_cast<int32_t>(-offsets.w);
      has_factors = has_factors || offsets.w != 0;
      Add(lane, depth * offsets.x * offsets.w - offsets.x * sum);
    }
    void Add(int lane, int64_t term) {
      terms[lane] = static_cast<int32_t>(static_cast<uint32_t>(terms[lane]) + static_cast<uint32_t>(term));
      has_terms = has_terms || term != 0;
    }
    void Tell(RowCorrection* correction) const {
      correction->lane_factors = has_factors ? factors : nullptr;
      correction->lane_terms = has_terms ? terms : nullptr;
    }
  };

  RowFinish finish_;
  Lanes before_, behind_;
  float scales_[kTileLanes] = {}, float_bias_[kTileLanes] = {};
  int64_t x_shift_ = 0, depth_ = 0;
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_LANE_FINISH_H_
