#include "lba/matmul.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <vector>

#include "kernels/cpu/moving_panel.h"
#include "kernels/cpu/packed_panels.h"
#include "kernels/cpu/starts.h"
#include "kernels/cpu/statistics_chain.h"
#include "lba/watched_run.h"

namespace lba {
namespace {

constexpr int64_t kBlockFloats = 64 * 1024;      // of packed rows that one task keeps in the second-level cache
constexpr int64_t kBlockPanels = 16;             // at most so many row panels a task
constexpr int64_t kTargetTasks = 16;             // enough for the threads of a session to share evenly
constexpr int64_t kMinTaskMultiplies = 1 << 16;  // smaller tasks cost more to hand out than they save

StridedSource SourceOfA(const MatMulShape& shape, const float* a, int64_t entry) {
  return {a + shape.a_offsets[entry], shape.rows, shape.depth, shape.a_row_stride, shape.a_depth_stride};
}

StridedSource SourceOfB(const MatMulShape& shape, const float* b, int64_t offset) {
  return {b + offset, shape.columns, shape.depth, shape.b_column_stride, shape.b_depth_stride};
}

// How one matrix product is cut into tasks: blocks of row panels times blocks of column panels.
struct Tasks {
  int64_t row_panels, column_panels;  // in the matrix
  int64_t block_rows, block_columns;  // panels per block
  int64_t row_blocks() const { return CeilDiv(row_panels, block_rows); }
  int64_t column_blocks() const { return CeilDiv(column_panels, block_columns); }
  int64_t count() const { return row_blocks() * column_blocks(); }

  explicit Tasks(const MatMulShape& shape)
      : row_panels(CeilDiv(shape.rows, kRowPanel)), column_panels(CeilDiv(shape.columns, kColumnPanel)) {
    const int64_t panel_floats = kRowPanel * std::max<int64_t>(shape.depth, 1);
    const int64_t all = shape.batch() * row_panels * column_panels;
    const int64_t tile_multiplies = panel_floats * kColumnPanel;
    const int64_t tiles_per_task =
        std::max({int64_t{1}, all / kTargetTasks, kMinTaskMultiplies / std::max<int64_t>(tile_multiplies, 1)});
    block_rows = std::clamp<int64_t>(kBlockFloats / panel_floats, 1, std::min(kBlockPanels, row_panels));
    // Many rows: whole rows of tiles are tasks. Few rows: the columns are cut, and each task packs the rows again.
    block_columns = std::clamp<int64_t>(CeilDiv(tiles_per_task, block_rows), 1, column_panels);
    if (block_columns == column_panels) block_rows = std::min(block_rows, CeilDiv(tiles_per_task, column_panels));
  }
};

void WriteTile(const float* tile, const MatMulShape& shape, int64_t row, int64_t rows, int64_t column, float* y) {
  const int64_t columns = std::min<int64_t>(shape.columns - column, kColumnPanel);
  for (int64_t r = 0; r < rows; ++r) {
    std::copy(tile + r * kColumnPanel, tile + r * kColumnPanel + columns, y + (row + r) * shape.columns + column);
  }
}

void RunTask(const Tasks& tasks, int64_t task, const ProductSides& sides, const MatMulShape& shape, float* y) {
  const int64_t first_panel = task / tasks.column_blocks() * tasks.block_rows;
  const int64_t last_panel = std::min(first_panel + tasks.block_rows, tasks.row_panels);
  const int64_t first_column = task % tasks.column_blocks() * tasks.block_columns;
  const int64_t last_column = std::min(first_column + tasks.block_columns, tasks.column_panels);
  std::vector<MovingPanel> rows;
  rows.reserve(last_panel - first_panel);
  for (int64_t panel = first_panel; panel < last_panel; ++panel) {
    const int64_t row = panel * kRowPanel;
    rows.emplace_back(sides).Load(row, static_cast<int>(std::min<int64_t>(shape.rows - row, kRowPanel)));
  }
  alignas(64) float tile[kRowPanel * kColumnPanel];
  for (int64_t column = first_column; column < last_column; ++column) {
    for (MovingPanel& panel : rows) {
      ThrowIfStopped();
      panel.Multiply(column, tile);
      WriteTile(tile, shape, panel.first(), panel.count(), column * kColumnPanel, y);
    }
  }
}

LbaMatMulArgs Described(const MatMulShape& shape, const float* a, const float* b, float* y, const Starts& starts) {
  LbaMatMulArgs args{};
  args.row_step = 1;
  args.batch = shape.batch();
  args.rows = shape.rows;
  args.columns = shape.columns;
  args.depth = shape.depth;
  args.a = a;
  args.a_offsets = shape.a_offsets.data();
  args.a_row_stride = shape.a_row_stride;
  args.a_depth_stride = shape.a_depth_stride;
  args.b = b;
  args.b_offsets = shape.b_offsets.data();
  args.b_depth_stride = shape.b_depth_stride;
  args.b_column_stride = shape.b_column_stride;
  args.y = y;
  args.initial = starts.data;
  std::copy_n(starts.strides, 3, args.initial_strides);
  return args;
}

}  // namespace

class PackedMatrices {
 public:
  PackedMatrices(const Planner& planner, const MatMulShape& shape, const float* b, const Parallel& parallel) {
    for (const int64_t offset : shape.b_offsets) places_.emplace(offset, places_.size());
    std::vector<int64_t> offsets(places_.size());
    for (const auto& [offset, place] : places_) offsets[place] = offset;
    matrices_.resize(offsets.size());
    // One matrix: its panels are the tasks. Many: each is one.
    const SerialParallel serial;
    const bool is_one = offsets.size() == 1;
    RunTasks(is_one ? static_cast<const Parallel&>(serial) : parallel, offsets.size(), [&](int64_t i) {
      const Parallel& inner = is_one ? parallel : static_cast<const Parallel&>(serial);
      const StridedSource source = SourceOfB(shape, b, offsets[i]);
      matrices_[i] = std::make_unique<const PackedPanels>(planner, source, kColumnPanel, inner);
    });
  }
  const PackedPanels& At(int64_t offset) const { return *matrices_[places_.at(offset)]; }
  bool IsFor(CpuPath path) const { return matrices_.empty() || matrices_.front()->is_for(path); }

 private:
  std::map<int64_t, size_t> places_;  // by the offset of the matrix: broadcast matrices are packed once
  std::vector<std::unique_ptr<const PackedPanels>> matrices_;
};

std::shared_ptr<const PackedMatrices> PackMatrices(const Accumulator& accumulator, const MatMulShape& shape,
                                                   const float* b, const Parallel& parallel) {
  return std::make_shared<PackedMatrices>(*PlannerOf(accumulator, shape.depth), shape, b, parallel);
}

void MatMul(const Accumulator& accumulator, const MatMulShape& shape, const float* a, const float* b,
            const PackedMatrices* packed, float* y, const Parallel& parallel, StatisticsCollector* statistics,
            const Starts& starts) {
  if (shape.batch() == 0 || shape.rows == 0 || shape.columns == 0) return;
  if (shape.depth > 0 && statistics != nullptr && statistics->is_filled()) {
    return RecordMatMul(accumulator, shape, a, b, y, parallel, statistics, starts);
  }
  const std::array<int64_t, 3> sizes{shape.batch(), shape.rows, shape.columns};
  const auto place = [&](const std::array<int64_t, 3>& index) {
    return Place{index[0] * shape.rows + index[1], index[2]};
  };
  const std::shared_ptr<const Planner> plan = PlannerOf(accumulator, shape.depth);
  const Planner& planner = *plan;
  if (shape.depth == 0) return SumNothing(planner, starts, sizes, place, y);
  const RoundedStarts rounded(planner, starts, sizes, shape.depth, place, parallel);
  std::shared_ptr<const PackedMatrices> packed_now;
  if (packed == nullptr || !packed->IsFor(planner.path())) {
    packed_now = std::make_shared<PackedMatrices>(planner, shape, b, parallel);
    packed = packed_now.get();
  }
  const Tasks tasks(shape);
  const auto run_task = [&](int64_t i) {
    const int64_t entry = i / tasks.count();
    const StridedSource rows = SourceOfA(shape, a, entry);
    const StridedSource columns = SourceOfB(shape, b, shape.b_offsets[entry]);
    const ProductSides sides{planner,
                             rows,
                             columns,
                             packed->At(shape.b_offsets[entry]),
                             MovingSide::kRows,
                             Place{entry * shape.rows, 0},
                             1,
                             rounded.OfMatrix(entry, shape.rows)};
    RunTask(tasks, i % tasks.count(), sides, shape, y + entry * shape.rows * shape.columns);
  };
  RunTasks(parallel, shape.batch() * tasks.count(), run_task, ProductShare(statistics));
  RecordMatMul(accumulator, shape, a, b, y, parallel, statistics, starts);
}

void RecordMatMul(const Accumulator& accumulator, const MatMulShape& shape, const float* a, const float* b, float* y,
                  const Parallel& parallel, StatisticsCollector* statistics, const Starts& starts) {
  if (statistics == nullptr || shape.depth == 0) return;
  if (statistics->is_observed()) {
    const LbaMatMulArgs args = Described(shape, a, b, y, starts);
    statistics->Observe(accumulator, &args, nullptr);
    return;
  }
  const int64_t call = statistics->NextCall(accumulator);
  const double share = (1 - ProductShare(statistics)) / static_cast<double>(shape.batch());
  for (int64_t entry = 0; entry < shape.batch(); ++entry) {
    CollectStatistics(accumulator, SourceOfA(shape, a, entry), SourceOfB(shape, b, shape.b_offsets[entry]),
                      OfMatrix(starts, entry, shape.rows), call + entry, parallel, share, statistics);
  }
}

}  // namespace lba
