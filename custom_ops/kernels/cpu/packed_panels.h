// The fixed operand of a product: packed, scaled, and its values' ranges known.
#ifndef LBA_KERNELS_CPU_PACKED_PANELS_H_
#define LBA_KERNELS_CPU_PACKED_PANELS_H_

#include <cstdint>
#include <vector>

#include "kernels/cpu/panel.h"
#include "kernels/cpu/planner.h"
#include "lba/parallel.h"

namespace lba {

class PackedPanels {
 public:
  // Packs all vectors of `source` in panels of `width` (kRowPanel, kColumnPanel, or 1).
  PackedPanels(const Planner& planner, const PanelSource& source, int width, const Parallel& parallel);

  int width() const { return width_; }
  int64_t vectors() const { return vectors_; }
  int64_t panels() const { return CeilDiv(vectors_, width_); }
  int64_t panel_vectors(int64_t panel) const;
  const float* panel(int64_t panel) const { return data_.data() + panel * width_ * depth_; }
  const PanelBounds& panel_bounds(int64_t panel) const { return bounds_[panel]; }
  const ValueRange& range() const { return range_; }  // of all panels
  int scale_log2() const { return scale_log2_; }
  bool is_for(CpuPath path) const { return path_ == path; }

 private:
  int width_;
  int64_t vectors_, depth_;
  CpuPath path_;
  AlignedFloats data_;
  std::vector<PanelBounds> bounds_;
  ValueRange range_;
  int scale_log2_ = 0;
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_PACKED_PANELS_H_
