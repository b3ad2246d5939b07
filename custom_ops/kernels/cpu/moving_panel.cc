#include "kernels/cpu/moving_panel.h"

#include <algorithm>

#include "kernels/cpu/path_kernels.h"

namespace lba {

MovingPanel::MovingPanel(const ProductSides& sides)
    : sides_(sides), data_(PanelFloats(sides.moving_width(), sides.moving.depth())) {}

void MovingPanel::Load(int64_t first, int count) {
  first_ = first;
  count_ = count;
  const Planner& planner = sides_.planner;
  const int width = sides_.moving_width();
  const int64_t depth = sides_.moving.depth();
  const ScalePanelKernel scale_panel = PathKernelsOf(planner.path()).scale_panel;
  const int fixed_log2 = sides_.fixed.scale_log2();
  const float scale = planner.MovingScale(fixed_log2);
  sides_.moving.Pack(first, count, width, data_.data());
  const FpScope scope(FpMode::kTowardZero);
  const ValueRange range = scale_panel(data_.data(), depth, width, planner.chunk(), scale);
  bounds_ = PanelBounds(range, planner.chunk());
  plan_ = planner.Plan(range, sides_.fixed.range(), fixed_log2);
  if (sides_.starts.data != nullptr) plan_ = planner.PlanStarts(plan_, *sides_.starts.range);
  if (plan_.is_fused) {
    scale_panel(data_.data(), depth, width, planner.chunk(), planner.fused_scale());
  } else if (plan_.path != planner.path() && scale != 1.0f) {
    sides_.moving.Pack(first, count, width, data_.data());
  }
}

void MovingPanel::Multiply(int64_t fixed_panel, const float* opened, float* tile) {
  const FixedPanels& fixed = sides_.fixed;
  const int fixed_count = static_cast<int>(fixed.panel_vectors(fixed_panel));
  const bool reads_packed = sides_.planner.ReadsPacked(plan_, fixed.scale_log2());
  const float* values = opened;
  if (!reads_packed) {
    if (unscaled_fixed_.size() == 0) unscaled_fixed_ = AlignedFloats(fixed.width() * sides_.moving.depth());
    sides_.fixed_source.Pack(fixed_panel * fixed.width(), fixed_count, fixed.width(), unscaled_fixed_.data());
    values = unscaled_fixed_.data();
  }
  const PanelBounds& fixed_bounds = fixed.panel_bounds(fixed_panel);
  const int variant = VariantOf(sides_.planner, sides_.starts, bounds_, fixed_bounds, plan_.is_fused);
  Run(sides_.planner.KernelsOf(plan_.path), variant, values, fixed_panel, tile);
}

void MovingPanel::Run(const TileKernels& kernels, int variant, const float* fixed, int64_t fixed_panel,
                      float* tile) const {
  const int fixed_count = static_cast<int>(sides_.fixed.panel_vectors(fixed_panel));
  TileArgs args;
  args.constants = sides_.planner.constants(kernels.path);
  args.depth = sides_.moving.depth();
  args.order = &sides_.planner.order();
  args.out = tile;
  const bool moves_rows = sides_.side == MovingSide::kRows;
  args.rows = moves_rows ? data_.data() : fixed;
  args.row_count = moves_rows ? count_ : fixed_count;
  args.columns = moves_rows ? fixed : data_.data();
  args.column_count = moves_rows ? fixed_count : count_;
  args.places.first.row = sides_.place.row + first_ * sides_.row_step;
  args.places.first.column = sides_.place.column + fixed_panel * sides_.fixed.width();
  args.places.row_step = sides_.row_step;
  args.places.columns_are_rows = !moves_rows;
  alignas(64) float starts[kRowPanel * kColumnPanel];
  args.starts = nullptr;
  if (sides_.starts.data != nullptr) {
    std::fill(starts, starts + kRowPanel * kColumnPanel, 0.0f);
    sides_.starts.Copy(first_, count_, moves_rows ? kColumnPanel : 1, fixed_panel * sides_.fixed.width(), fixed_count,
                       moves_rows ? 1 : kColumnPanel, sides_.planner.StartScale(kernels.path), starts);
    args.starts = starts;
  }
  const FpScope scope(kernels.mode);
  kernels.tile[variant](args);
  CountTiles(kernels.path, 1);
}

}  // namespace lba
