#include "kernels/cpu/packed_filter.h"

namespace lba {
namespace {

constexpr int64_t kFewFilters = 3;  // per group

}  // namespace

bool HasFewFilters(const ConvShape& shape) { return shape.groups > 1 && shape.group_out_channels() <= kFewFilters; }

bool IsDirect(const Planner& planner, const ConvShape& shape) {
  return HasFewFilters(shape) && !planner.differs_by_place();
}

StridedSource FilterSource(const ConvShape& shape, const float* w, int64_t group) {
  const int64_t filters = shape.group_out_channels();
  return {w + group * filters * shape.depth(), filters, shape.depth(), shape.depth(), 1};
}

PackedFilter::PackedFilter(const Planner& planner, const ConvShape& shape, const float* w, const Parallel& parallel) {
  groups_.reserve(shape.groups);
  for (int64_t group = 0; group < shape.groups; ++group) {
    groups_.emplace_back(planner, FilterSource(shape, w, group), IsDirect(planner, shape) ? 1 : kRowPanel, parallel);
  }
}

}  // namespace lba
