#include "kernels/cpu/extremes.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/cpu/fp_environment.h"
#include "kernels/cpu/path_kernels.h"
#include "lba/watched_run.h"

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

// A panel [depth][width], the largest finite magnitude at each depth, and the largest Euclidean norm that one of its
// vectors has in each run of products that nothing interrupts.
struct Panel {
  AlignedFloats packed;
  std::vector<double> max, norms;
  std::vector<double> values;  // the same in double, once they are wanted

  void Load(const PanelSource& source, int64_t first, int width, const SumGroups& groups) {
    const int64_t depth = source.depth();
    const int count = static_cast<int>(std::min<int64_t>(source.vectors() - first, width));
    if (packed.size() != PanelFloats(width, depth)) packed = AlignedFloats(PanelFloats(width, depth));
    source.Pack(first, count, width, packed.data());
    const FpScope scope(FpMode::kNearest);  // conversions keep subnormals
    values.clear();
    max.resize(depth);
    for (int64_t k = 0; k < depth; ++k) max[k] = LargestFinite(packed.data() + k * width, width);
    norms.clear();
    for (int64_t begin = 0, end = 0; begin < depth; begin = end) {
      end = groups.RunEnd(begin, depth);
      norms.push_back(LargestNorm(packed.data() + begin * width, end - begin, width));
    }
  }

  void Widen() {
    if (values.empty()) values.assign(packed.data(), packed.data() + packed.size());
  }

  // Infinite where a value is infinite or NaN.
  static double LargestNorm(const float* values, int64_t depth, int width) {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    std::array<double, kColumnPanel> squares{};
    for (int64_t k = 0; k < depth; ++k) {
      for (int i = 0; i < width; ++i) {
        const double value = values[k * width + i];
        squares[i] += value * value;
      }
    }
    double largest = 0;
    for (int i = 0; i < width; ++i) {
      if (!(squares[i] <= largest)) largest = std::isnan(squares[i]) ? kInfinity : squares[i];
    }
    return std::sqrt(largest);
  }
};

// The starts of a tile, and their largest magnitude.
struct TileStarts {
  float floats[kRowPanel * kColumnPanel] = {};
  double values[kRowPanel * kColumnPanel] = {};
  double largest = 0;

  void Load(const ProductStarts& starts, bool moves_columns, int64_t row, int rows, int64_t column, int columns) {
    std::fill_n(floats, kRowPanel * kColumnPanel, 0.0f);
    if (moves_columns) {
      starts.Copy(column, columns, 1, row, rows, kColumnPanel, 1, floats);
    } else {
      starts.Copy(row, rows, kColumnPanel, column, columns, 1, 1, floats);
    }
    std::copy_n(floats, kRowPanel * kColumnPanel, values);
    largest = 0;
    for (const double value : values) largest = std::fabs(value) <= largest ? largest : std::fabs(value);  // to NaN
  }
};

// What no sum of a tile exceeds, by sum of common/levels.h.
struct SumBounds {
  double sums[kMaxSums]{};
  const SumGroups& groups;

  // By the inequality of Cauchy and Schwarz, a prefix sum of a run is at most the product of the norms there, and a sum
  // of sums the sum of their bounds. The same holds of the magnitudes of all that is added up.
  SumBounds(const Panel& rows, const Panel& columns, const SumGroups& sum_groups, int started_sum, double largest_start)
      : groups(sum_groups) {
    constexpr double kRounding = 1 + 1e-9;  // of sums, norms and bounds, each far below
    const auto depth = static_cast<int64_t>(rows.max.size());
    int64_t end = 0;
    double open[kMaxSums]{};
    open[started_sum] = largest_start * kRounding;
    const auto raise = [&](int n) { sums[n] = open[n] <= sums[n] ? sums[n] : open[n]; };  // also to NaN
    for (size_t i = 0; i < rows.norms.size(); ++i) {
      open[0] += rows.norms[i] * columns.norms[i] * kRounding;
      raise(0);
      end = groups.RunEnd(end, depth);
      groups.ForEachEnded(end, depth, [&](int n) {
        open[n + 1] += open[n];
        open[n] = 0;
        raise(n + 1);
      });
    }
  }

  bool AreWithin(const Extremes& known) const {
    for (int n = 0; n <= groups.count; ++n) {
      if (!(sums[n] <= known.levels[n + 1])) return false;
    }
    return true;
  }

  // With the largest sums in float: each of at most 2 * depth additions was rounded, or flushed less than 2^-148.
  void Lower(const Extremes& in_float, int64_t depth) {
    const double additions = 2.0 * static_cast<double>(depth) + 2.0;
    for (int n = 0; n <= groups.count; ++n) {
      const double bound = in_float.levels[n + 1] + sums[n] * additions * 0x1p-23 + additions * 0x1p-148;
      sums[n] = bound <= sums[n] ? bound : sums[n];
    }
  }
};

// The largest product of a tile at depth k is that of the largest row value and the largest column value.
double LargestProduct(const Panel& rows, const Panel& columns) {
  double largest = 0;
  for (size_t k = 0; k < rows.max.size(); ++k) largest = std::max(largest, rows.max[k] * columns.max[k]);
  return largest;
}

}  // namespace

Extremes KnownExtremes(const StatisticsCollector& collector) {
  Extremes known;
  const Counts counts = collector.Read();
  for (size_t level = 0; level < counts.levels.size(); ++level) known.levels[level] = counts.levels[level].max_abs;
  return known;
}

void CollectExtremes(const SumGroups& groups, const PanelSource& moving, const PanelSource& fixed,
                     const StartedSum& started, const Parallel& parallel, double share,
                     StatisticsCollector* collector) {
  // The operand with more vectors fills the lanes.
  const bool moves_columns = moving.vectors() >= fixed.vectors();
  const PanelSource& columns = moves_columns ? moving : fixed;
  const PanelSource& rows = moves_columns ? fixed : moving;
  std::vector<Panel> row_panels(CeilDiv(rows.vectors(), kRowPanel));
  RunTasks(parallel, static_cast<int64_t>(row_panels.size()), [&](int64_t i) {
    row_panels[i].Load(rows, i * kRowPanel, kRowPanel, groups);
    row_panels[i].Widen();
  });
  const PathKernels& kernels = PathKernelsOf(SelectedCpuPath());
  const int64_t panels = CeilDiv(columns.vectors(), kColumnPanel);
  const int64_t tasks = std::min(panels, kMostTasks);
  const int64_t depth = rows.depth();
  const auto run_task = [&](int64_t task) {
    Panel panel;
    TileStarts starts;
    const bool has_starts = started.starts.data != nullptr;
    Extremes extremes = KnownExtremes(*collector);
    for (int64_t p = panels * task / tasks; p < panels * (task + 1) / tasks; ++p) {
      const int64_t first = p * kColumnPanel;
      const int count = static_cast<int>(std::min<int64_t>(columns.vectors() - first, kColumnPanel));
      panel.Load(columns, first, kColumnPanel, groups);
      const FpScope scope(FpMode::kNearest);
      for (size_t i = 0; i < row_panels.size(); ++i) {
        ThrowIfStopped();
        extremes.Raise(0, LargestProduct(row_panels[i], panel));
        const int64_t first_row = static_cast<int64_t>(i) * kRowPanel;
        const int row_count = static_cast<int>(std::min<int64_t>(rows.vectors() - first_row, kRowPanel));
        if (has_starts) starts.Load(started.starts, moves_columns, first_row, row_count, first, count);
        SumBounds bounds(row_panels[i], panel, groups, started.sum, starts.largest);
        if (bounds.AreWithin(extremes)) continue;
        bounds.Lower(kernels.float_extremes({row_panels[i].packed.data(), panel.packed.data(), depth, groups, row_count,
                                             count, has_starts ? starts.floats : nullptr, started.sum}),
                     depth);
        if (bounds.AreWithin(extremes)) continue;
        panel.Widen();
        extremes.Merge(kernels.extremes({row_panels[i].values.data(), panel.values.data(), depth, groups, row_count,
                                         count, has_starts ? starts.values : nullptr, started.sum}));
      }
    }
    collector->MergeLargest(extremes.levels);
  };
  RunTasks(parallel, tasks, run_task, share);
}

}  // namespace lba
