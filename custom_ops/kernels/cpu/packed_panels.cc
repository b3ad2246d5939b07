#include "kernels/cpu/packed_panels.h"

#include <algorithm>
#include <cmath>

#include "kernels/cpu/fp_environment.h"
#include "kernels/cpu/path_kernels.h"

namespace lba {

PackedPanels::PackedPanels(const Planner& planner, const PanelSource& source, int width, const Parallel& parallel)
    : width_(width),
      vectors_(source.vectors()),
      depth_(source.depth()),
      path_(planner.path()),
      data_(PanelFloats(CeilDiv(vectors_, width) * width, depth_)),
      bounds_(panels()) {
  const ScalePanelKernel scale_panel = PathKernelsOf(path_).scale_panel;
  std::vector<ValueRange> ranges(panels());
  RunTasks(parallel, panels(), [&](int64_t i) {
    float* panel = data_.data() + i * width_ * depth_;
    source.Pack(i * width_, static_cast<int>(panel_vectors(i)), width_, panel);
    const FpScope scope(FpMode::kTowardZero);
    ranges[i] = scale_panel(panel, depth_, width_, planner.chunk(), 1.0f);
    bounds_[i] = PanelBounds(ranges[i], planner.chunk());
  });
  for (const ValueRange& range : ranges) range_.Merge(range);
  scale_log2_ = planner.FixedScaleLog2(range_);
  if (scale_log2_ == 0) return;
  const float scale = std::ldexp(1.0f, scale_log2_);
  RunTasks(parallel, panels(), [&](int64_t i) {
    const FpScope scope(FpMode::kTowardZero);
    scale_panel(data_.data() + i * width_ * depth_, depth_, width_, planner.chunk(), scale);
  });
}

int64_t PackedPanels::panel_vectors(int64_t panel) const {
  return std::min<int64_t>(vectors_ - panel * width_, width_);
}

}  // namespace lba
