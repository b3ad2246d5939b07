#include "cpu/extremes.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "cpu/tile.h"

namespace lba {
namespace {

constexpr int64_t kMostTasks = 64;

// Magnitudes of floats order like their bits; those of infinity and NaN come last.
double LargestFinite(const float* values, int width) {
  constexpr uint32_t kInfinity = 0x7f800000u;
  uint32_t largest = 0;
  for (int i = 0; i < width; ++i) {
    uint32_t bits = 0;
    std::memcpy(&bits, values + i, sizeof bits);
    bits &= 0x7fffffffu;
    bits = bits < kInfinity ? bits : 0;
    largest = bits > largest ? bits : largest;
  }
  float value = 0;
  std::memcpy(&value, &largest, sizeof value);
  return value;
}

// A panel [depth][width] in double, and the largest finite magnitude at each depth.
struct DoublePanel {
  AlignedFloats packed;
  std::vector<double> values, max;

  void Load(const PanelSource& source, int64_t first, int width) {
    const int64_t depth = source.depth();
    const int count = static_cast<int>(std::min<int64_t>(source.vectors() - first, width));
    if (packed.size() != PanelFloats(width, depth)) packed = AlignedFloats(PanelFloats(width, depth));
    source.Pack(first, count, width, packed.data());
    const FpScope scope(FpMode::kNearest);  // conversions keep subnormals
    values.resize(width * depth);
    max.resize(depth);
    for (int64_t i = 0; i < width * depth; ++i) values[i] = packed.data()[i];
    for (int64_t k = 0; k < depth; ++k) max[k] = LargestFinite(packed.data() + k * width, width);
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
  const int64_t panels = CeilDiv(columns.vectors(), kColumnPanel);
  const int64_t tasks = std::min(panels, kMostTasks);
  RunTasks(parallel, tasks, [&](int64_t task) {
    DoublePanel panel;
    Extremes extremes;
    for (int64_t p = panels * task / tasks; p < panels * (task + 1) / tasks; ++p) {
      const int64_t first = p * kColumnPanel;
      const int count = static_cast<int>(std::min<int64_t>(columns.vectors() - first, kColumnPanel));
      panel.Load(columns, first, kColumnPanel);
      const FpScope scope(FpMode::kNearest);
      for (size_t i = 0; i < row_panels.size(); ++i) {
        const int row_count = static_cast<int>(std::min<int64_t>(rows.vectors() - i * kRowPanel, kRowPanel));
        extremes.Merge(kernel({row_panels[i].values.data(), row_panels[i].max.data(), panel.values.data(),
                               panel.max.data(), rows.depth(), chunk, row_count, count}));
      }
    }
    collector->MergeLargest(extremes.product, extremes.partial_sum, extremes.total);
  });
}

}  // namespace lba
