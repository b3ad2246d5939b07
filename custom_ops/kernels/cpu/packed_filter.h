// The packed weights of a convolution, group by group.
#ifndef LBA_KERNELS_CPU_PACKED_FILTER_H_
#define LBA_KERNELS_CPU_PACKED_FILTER_H_

#include <vector>

#include "kernels/cpu/packed_panels.h"
#include "lba/conv.h"

namespace lba {

class PackedFilter {
 public:
  PackedFilter(const Planner& planner, const ConvShape& shape, const float* w, const Parallel& parallel);

  // Filters as panels of kRowPanel rows, or of single filters when the convolution is direct.
  const PackedPanels& group(int64_t group) const { return groups_[group]; }
  bool IsFor(CpuPath path) const { return groups_.empty() || groups_.front().is_for(path); }

 private:
  std::vector<PackedPanels> groups_;
};

// The filters of one group, one vector each.
StridedSource FilterSource(const ConvShape& shape, const float* w, int64_t group);

// Groups with few output channels (depthwise: one) leave most rows of a tile idle.
bool HasFewFilters(const ConvShape& shape);

// They are computed directly from a padded copy of the input, many positions of one filter at a time; not where outputs
// differ by their place.
bool IsDirect(const Planner& planner, const ConvShape& shape);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_PACKED_FILTER_H_
