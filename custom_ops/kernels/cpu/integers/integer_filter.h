// The filters of a convolution of codes, packed for the kernels of their plans.
#ifndef LBA_KERNELS_CPU_INTEGERS_INTEGER_FILTER_H_
#define LBA_KERNELS_CPU_INTEGERS_INTEGER_FILTER_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cpu/integers/chains.h"
#include "kernels/cpu/integers/packed.h"
#include "kernels/cpu/integers/plan.h"
#include "lba/integer_product.h"

namespace lba {

// The filters of one group as a plan has them; without rows where the definition computes.
struct PackedGroup {
  const IntegerPlan plan;
  std::unique_ptr<PackedRows> rows;

  PackedGroup(const IntegerSums& sums, const StridedChains& filters)
      : plan(PlanIntegers(sums, filters, filters.places())) {
    if (plan.kernels == nullptr) return;
    rows = std::make_unique<PackedRows>(plan, Role::kW, sums, filters.vectors(), filters.places());
    for (int64_t filter = 0; filter < filters.vectors(); ++filter) rows->Pack(filters, filter, filter);
  }
};

class PackedIntegerFilter {
 public:
  PackedIntegerFilter(const IntegerSums& sums, const ConvShape& s, const Codes& w, const Parallel& parallel)
      : kernels_(SelectedIntegerKernels()), order_(FilterOrder(sums, s)), groups_(s.groups) {
    const int64_t filters = s.group_out_channels();
    RunTasks(parallel, s.groups, [&](int64_t group) {
      StridedChains weights(Bytes(w.data) + group * filters * s.depth(), order_, filters, s.depth());
      weights.AsW(sums, w, group * filters);
      groups_[group] = std::make_unique<const PackedGroup>(sums, weights);
    });
  }
  const PackedGroup& At(int64_t group) const { return *groups_[group]; }
  // Whether no group is left to the definition.
  bool has_kernels() const {
    return std::all_of(groups_.begin(), groups_.end(), [](const auto& group) { return group->rows != nullptr; });
  }
  bool IsFor(const IntegerKernels* kernels) const { return kernels_ == kernels; }
  const std::vector<int64_t>& order() const { return order_; }

 private:
  const IntegerKernels* const kernels_;
  const std::vector<int64_t> order_;
  std::vector<std::unique_ptr<const PackedGroup>> groups_;
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_INTEGER_FILTER_H_
