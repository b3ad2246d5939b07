// What makes sums of the kernel's values those of the accumulator, and these those of codes less their zero points.
#ifndef LBA_KERNELS_CPU_INTEGERS_CORRECTIONS_H_
#define LBA_KERNELS_CPU_INTEGERS_CORRECTIONS_H_

#include <cstdint>

#include "kernels/cpu/integers/plan.h"

namespace lba {

// Sums of X * W where wanted are sums of (X - x) * (W - w), modulo 2^32:
//
//   sum - w * sum of X - x * sum of W + depth * x * w
struct Offsets {
  int64_t x = 0, w = 0;
};

// Of one pair of zero points: before and behind the point where the sum wraps.
struct CorrectionSteps {
  Offsets before, behind;
  Offsets shifts;  // of the accumulator's values from the kernel's: to be taken off its sums of X and W

  CorrectionSteps(const IntegerSums& sums, const IntegerPlan& plan, CodeType x_type, int32_t x_zero_point,
                  CodeType w_type, int32_t w_zero_point) {
    const Offsets kernel{KernelXShift(sums, plan, x_type, x_zero_point),
                         KernelWShift(sums, plan, w_type, w_zero_point)};
    const Offsets accumulated{sums.XShift(x_type, x_zero_point), sums.WShift(w_zero_point)};
    shifts = {kernel.x - accumulated.x, kernel.w - accumulated.w};
    if (plan.holds_sums) {
      before = {x_zero_point + kernel.x, w_zero_point + kernel.w};
    } else {
      before = shifts;
      behind = {x_zero_point + accumulated.x, w_zero_point + accumulated.w};
    }
  }
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_CORRECTIONS_H_
