#include "cpu/extremes.h"

#include <algorithm>

#include "cpu/tile.h"

namespace lba {
namespace {

// The panels of a whole operand, as they are.
AlignedFloats PackAll(const PanelSource& source, int width, const Parallel& parallel) {
  const int64_t panels = CeilDiv(source.vectors(), width);
  AlignedFloats packed(PanelFloats(panels * width, source.depth()));
  RunTasks(parallel, panels, [&](int64_t i) {
    const int count = static_cast<int>(std::min<int64_t>(source.vectors() - i * width, width));
    source.Pack(i * width, count, width, packed.data() + i * width * source.depth());
  });
  return packed;
}

}  // namespace

void CollectExtremes(int64_t chunk, const PanelSource& moving, const PanelSource& fixed, const Parallel& parallel,
                     StatisticsCollector* collector) {
  // The operand with more vectors fills the lanes.
  const bool moves_columns = moving.vectors() >= fixed.vectors();
  const PanelSource& columns = moves_columns ? moving : fixed;
  const PanelSource& rows = moves_columns ? fixed : moving;
  const int64_t depth = rows.depth();
  const AlignedFloats packed_rows = PackAll(rows, kRowPanel, parallel);
  const ExtremesKernel kernel = KernelsOf(SelectedCpuPath()).extremes;
  RunTasks(parallel, CeilDiv(columns.vectors(), kColumnPanel), [&](int64_t task) {
    const int64_t first = task * kColumnPanel;
    const int count = static_cast<int>(std::min<int64_t>(columns.vectors() - first, kColumnPanel));
    AlignedFloats panel(PanelFloats(kColumnPanel, depth));
    columns.Pack(first, count, kColumnPanel, panel.data());
    Extremes extremes;
    const FpScope scope(FpMode::kNearest);
    for (int64_t row = 0; row < rows.vectors(); row += kRowPanel) {
      const int row_count = static_cast<int>(std::min<int64_t>(rows.vectors() - row, kRowPanel));
      extremes.Merge(kernel({packed_rows.data() + row * depth, panel.data(), depth, chunk, row_count, count}));
    }
    LbaStatistics counts{};
    counts.max_abs_product = extremes.product;
    counts.max_abs_partial_sum = extremes.partial_sum;
    counts.max_abs_total = extremes.total;
    collector->Merge(counts);
  });
}

}  // namespace lba
