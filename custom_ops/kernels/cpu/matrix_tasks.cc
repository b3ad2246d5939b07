#include "kernels/cpu/matrix_tasks.h"

#include <algorithm>
#include <vector>

#include "lba/watched_run.h"

namespace lba {
namespace {

constexpr int64_t kBlockFloats = 64 * 1024;      // of packed rows that one task keeps in the second-level cache
constexpr int64_t kBlockPanels = 16;             // at most so many row panels a task
constexpr int64_t kTargetTasks = 16;             // enough for the threads of a session to share evenly
constexpr int64_t kMinTaskMultiplies = 1 << 16;  // smaller tasks cost more to hand out than they save

void WriteTile(const float* tile, int64_t row, int64_t rows, int64_t column, int64_t columns, float* y) {
  const int64_t width = std::min<int64_t>(columns - column, kColumnPanel);
  for (int64_t r = 0; r < rows; ++r) {
    std::copy(tile + r * kColumnPanel, tile + r * kColumnPanel + width, y + (row + r) * columns + column);
  }
}

}  // namespace

MatrixTasks::MatrixTasks(int64_t rows, int64_t columns, int64_t depth, int64_t batch, bool opening_costs)
    : rows_(rows),
      columns_(columns),
      row_panels_(CeilDiv(rows, kRowPanel)),
      column_panels_(CeilDiv(columns, kColumnPanel)) {
  const int64_t panel_floats = kRowPanel * std::max<int64_t>(depth, 1);
  const int64_t all = batch * row_panels_ * column_panels_;
  const int64_t tile_multiplies = panel_floats * kColumnPanel;
  const int64_t tiles_per_task =
      std::max({int64_t{1}, all / kTargetTasks, kMinTaskMultiplies / std::max<int64_t>(tile_multiplies, 1)});
  const int64_t cached_panels = opening_costs ? kBlockPanels : kBlockFloats / panel_floats;
  block_rows_ = std::clamp<int64_t>(cached_panels, 1, std::min(kBlockPanels, row_panels_));
  // Many rows: whole rows of tiles are tasks. Few rows: the columns are cut, and each task packs the rows again.
  block_columns_ = std::clamp<int64_t>(CeilDiv(tiles_per_task, block_rows_), 1, column_panels_);
  if (block_columns_ == column_panels_) block_rows_ = std::min(block_rows_, CeilDiv(tiles_per_task, column_panels_));
}

void MatrixTasks::Run(int64_t task, const ProductSides& sides, float* y) const {
  const int64_t first_panel = task / column_blocks() * block_rows_;
  const int64_t last_panel = std::min(first_panel + block_rows_, row_panels_);
  const int64_t first_column = task % column_blocks() * block_columns_;
  const int64_t last_column = std::min(first_column + block_columns_, column_panels_);
  std::vector<MovingPanel> rows;
  rows.reserve(last_panel - first_panel);
  for (int64_t panel = first_panel; panel < last_panel; ++panel) {
    const int64_t row = panel * kRowPanel;
    rows.emplace_back(sides).Load(row, static_cast<int>(std::min<int64_t>(rows_ - row, kRowPanel)));
  }
  AlignedFloats opened;
  alignas(64) float tile[kRowPanel * kColumnPanel];
  for (int64_t column = first_column; column < last_column; ++column) {
    const float* values = sides.fixed.Open(column, &opened);
    for (MovingPanel& panel : rows) {
      ThrowIfStopped();
      panel.Multiply(column, values, tile);
      WriteTile(tile, panel.first(), panel.count(), column * kColumnPanel, columns_, y);
    }
  }
}

}  // namespace lba
