#include "cpu/extremes.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/tile.h"

namespace lba {
namespace {

// A panel [depth][width] in double, and the largest finite magnitude at each depth.
struct DoublePanel {
  std::vector<double> values, max;

  void Load(const PanelSource& source, int64_t first, int width) {
    const int64_t depth = source.depth();
    const int count = static_cast<int>(std::min<int64_t>(source.vectors() - first, width));
    AlignedFloats packed(PanelFloats(width, depth));
    source.Pack(first, count, width, packed.data());
    const FpScope scope(FpMode::kNearest);  // conversions keep subnormals
    values.assign(packed.data(), packed.data() + width * depth);
    max.assign(depth, 0.0);
    for (int64_t i = 0; i < width * depth; ++i) {
      const double magnitude = std::fabs(values[i]);
      if (magnitude <= std::numeric_limits<float>::max()) max[i / width] = std::max(max[i / width], magnitude);
    }
  }
};

}  // namespace

void CollectExtremes(int64_t chunk, const PanelSource& moving, const PanelSource& fixed, const Parallel& parallel,
                     StatisticsCollector* collector) {
  // The operand with more vectors fills the lanes.
  const bool moves_columns = moving.vectors() >= fixed.vectors();
  const PanelSource& columns = moves_columns ? moving : fixed;
  const PanelSource& rows = moves_columns ? fixed : moving;
  std::vector<DoublePanel> row_panels(CeilDiv(rows.vectors(), kRowPanel));
  RunTasks(parallel, static_cast<int64_t>(row_panels.size()),
           [&](int64_t i) { row_panels[i].Load(rows, i * kRowPanel, kRowPanel); });
  const ExtremesKernel kernel = KernelsOf(SelectedCpuPath()).extremes;
  RunTasks(parallel, CeilDiv(columns.vectors(), kColumnPanel), [&](int64_t task) {
    const int64_t first = task * kColumnPanel;
    const int count = static_cast<int>(std::min<int64_t>(columns.vectors() - first, kColumnPanel));
    DoublePanel panel;
    panel.Load(columns, first, kColumnPanel);
    Extremes extremes;
    const FpScope scope(FpMode::kNearest);
    for (size_t i = 0; i < row_panels.size(); ++i) {
      const int row_count = static_cast<int>(std::min<int64_t>(rows.vectors() - i * kRowPanel, kRowPanel));
      extremes.Merge(kernel({row_panels[i].values.data(), row_panels[i].max.data(), panel.values.data(),
                             panel.max.data(), rows.depth(), chunk, row_count, count}));
    }
    LbaStatistics counts{};
    counts.max_abs_product = extremes.product;
    counts.max_abs_partial_sum = extremes.partial_sum;
    counts.max_abs_total = extremes.total;
    collector->Merge(counts);
  });
}

}  // namespace lba
