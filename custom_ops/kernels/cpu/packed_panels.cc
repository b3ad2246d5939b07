#include "kernels/cpu/packed_panels.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/fp_environment.h"
#include "kernels/cpu/path_kernels.h"

namespace lba {

int64_t FixedPanels::panel_vectors(int64_t panel) const { return std::min<int64_t>(vectors_ - panel * width_, width_); }

void FixedPanels::SetRanges(const Planner& planner, const std::vector<ValueRange>& ranges) {
  for (const ValueRange& range : ranges) {
    bounds_.emplace_back(range, planner.chunk());
    range_.Merge(range);
  }
  scale_log2_ = planner.FixedScaleLog2(range_);
}

PackedPanels::PackedPanels(const Planner& planner, const PanelSource& source, int width, const Parallel& parallel)
    : FixedPanels(planner, width, source.vectors()),
      depth_(source.depth()),
      data_(PanelFloats(CeilDiv(source.vectors(), width) * width, depth_)) {
  const ScalePanelKernel scale_panel = PathKernelsOf(planner.path()).scale_panel;
  std::vector<ValueRange> ranges(panels());
  RunTasks(parallel, panels(), [&](int64_t i) {
    float* panel = data_.data() + i * width * depth_;
    source.Pack(i * width, static_cast<int>(panel_vectors(i)), width, panel);
    const FpScope scope(FpMode::kTowardZero);
    ranges[i] = scale_panel(panel, depth_, width, planner.chunk(), 1.0f);
  });
  SetRanges(planner, ranges);
  if (scale_log2() == 0) return;
  const float scale = std::ldexp(1.0f, scale_log2());
  RunTasks(parallel, panels(), [&](int64_t i) {
    const FpScope scope(FpMode::kTowardZero);
    scale_panel(data_.data() + i * width * depth_, depth_, width, planner.chunk(), scale);
  });
}

}  // namespace lba
