// What a kernel may do in place of the definition: decided once, from the weights, when they are packed.
#ifndef LBA_KERNELS_CPU_INTEGERS_PLAN_H_
#define LBA_KERNELS_CPU_INTEGERS_PLAN_H_

#include <cstdint>

#include "common/integer_sums.h"
#include "kernels/cpu/integers/chains.h"
#include "kernels/cpu/integers/path.h"

namespace lba {

// Of all fixed vectors, as they are accumulated.
struct WeightFacts {
  int64_t least = 0, most = 0;                     // values
  int64_t positive = 0, negative = 0;              // the largest sum of a vector's positive values, and of the others
  int64_t group_positive = 0, group_negative = 0;  // likewise of an innermost group
};

WeightFacts FactsOf(const IntegerSums& sums, const ChainSource& fixed);

struct IntegerPlan {
  const IntegerKernels* kernels = nullptr;  // null: the definition computes
  IntegerStep step = IntegerStep::kSum;
  TileConstants constants;
  int64_t group = 0;                       // places whose sum joins the total; 0: all
  int x_scale_log2 = 0, w_scale_log2 = 0;  // of the codes in the kernel
  int unused_bits = 0;                     // of the sum, which wraps; of 32
  bool holds_sums = false;                 // sums wrap nowhere: corrections of all kinds may come at once

  CodeLayout layout() const { return kernels->Of(step).layout; }
  bool has_bytes() const { return layout() == CodeLayout::kBytes; }
  IntegerTileKernel TileOf(bool lanes_are_x) const {
    return lanes_are_x ? kernels->Of(step).lanes_are_x : kernels->Of(step).lanes_are_w;
  }
  // Elements of a row that holds so many codes.
  int64_t Elements(int64_t places) const { return (places + CodesIn(layout()) - 1) / CodesIn(layout()); }
};

// For chains of so many places; zero points of x are not known yet.
IntegerPlan PlanIntegers(const IntegerSums& sums, const ChainSource& fixed, int64_t places);

// Codes of x or w as the kernel has them, and as the accumulator does: what is added to codes.
int32_t KernelXShift(const IntegerSums& sums, const IntegerPlan& plan, CodeType type, int32_t zero_point);
int32_t KernelWShift(const IntegerSums& sums, const IntegerPlan& plan, CodeType type, int32_t zero_point);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_PLAN_H_
