// The fixed operand of a product: in panels, scaled, and its values' ranges known.
#ifndef LBA_KERNELS_CPU_PACKED_PANELS_H_
#define LBA_KERNELS_CPU_PACKED_PANELS_H_

#include <cstdint>
#include <vector>

#include "kernels/cpu/panel.h"
#include "kernels/cpu/planner.h"
#include "lba/parallel.h"

namespace lba {

// How the panels are scaled and what is known of them; where their values lie, or come from, differs.
class FixedPanels {
 public:
  virtual ~FixedPanels() = default;

  int width() const { return width_; }
  int64_t vectors() const { return vectors_; }
  int64_t panels() const { return CeilDiv(vectors_, width_); }
  int64_t panel_vectors(int64_t panel) const;
  // The scaled values of a panel, [depth][width]: the object's own, or made in `memory`, which is allocated when it is
  // empty, and holds them until the next panel is opened.
  virtual const float* Open(int64_t panel, AlignedFloats* memory) const = 0;
  const PanelBounds& panel_bounds(int64_t panel) const { return bounds_[panel]; }
  const ValueRange& range() const { return range_; }  // of all panels
  int scale_log2() const { return scale_log2_; }
  bool is_for(CpuPath path) const { return path_ == path; }

 protected:
  FixedPanels(const Planner& planner, int width, int64_t vectors)
      : width_(width), vectors_(vectors), path_(planner.path()) {}
  FixedPanels(FixedPanels&&) = default;
  FixedPanels& operator=(FixedPanels&&) = default;

  // Takes note of the values of all panels, and chooses their scale.
  void SetRanges(const Planner& planner, const std::vector<ValueRange>& ranges);

 private:
  int width_;
  int64_t vectors_;
  CpuPath path_;
  std::vector<PanelBounds> bounds_;
  ValueRange range_;
  int scale_log2_ = 0;
};

// Panels in memory.
class PackedPanels : public FixedPanels {
 public:
  // Packs all vectors of `source` in panels of `width` (kRowPanel, kColumnPanel, or 1).
  PackedPanels(const Planner& planner, const PanelSource& source, int width, const Parallel& parallel);

  const float* panel(int64_t panel) const { return data_.data() + panel * width() * depth_; }
  const float* Open(int64_t index, AlignedFloats*) const override { return panel(index); }

 private:
  int64_t depth_;
  AlignedFloats data_;
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_PACKED_PANELS_H_
