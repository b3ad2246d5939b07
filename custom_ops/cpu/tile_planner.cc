#include "cpu/tile_planner.h"

namespace lba {

TilePlanner::TilePlanner(const Accumulator& accumulator, int64_t depth)
    : short_cuts_(accumulator.spec(), depth), path_(SelectedCpuPath()) {
  const bool is_vector_path = path_ == CpuPath::kAvx512 || path_ == CpuPath::kAvx2;
  is_scaled_ = is_vector_path && short_cuts_.is_scalable();
}

PanelPlan TilePlanner::Plan(const ValueRange& moving, const ValueRange& fixed, int fixed_scale_log2) const {
  if (path_ == CpuPath::kExact || !moving.is_finite() || !fixed.is_finite()) return {CpuPath::kExact, false};
  if (!is_scaled_ || !short_cuts_.FitsScaled(moving, fixed, fixed_scale_log2)) return {CpuPath::kPortable, false};
  return {path_, short_cuts_.CanFuse(moving, fixed, fixed_scale_log2)};
}

}  // namespace lba
