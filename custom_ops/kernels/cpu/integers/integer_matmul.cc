#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <vector>

#include "kernels/cpu/integers/definition.h"
#include "kernels/cpu/integers/epilogue.h"
#include "kernels/cpu/integers/lane_finish.h"
#include "kernels/cpu/integers/observation.h"
#include "kernels/cpu/integers/packed.h"
#include "kernels/cpu/integers/plan.h"
#include "kernels/cpu/integers/statistics.h"
#include "kernels/cpu/statistics_chain.h"
#include "lba/integer_product.h"
#include "lba/watched_run.h"

namespace lba {
namespace {

// One matrix product of a batch.
struct Entry {
  const std::vector<int64_t> a_offsets, b_offsets;
  StridedChains rows, columns;

  Entry(const IntegerSums& sums, const MatMulShape& s, const Codes& a, const Codes& b, int64_t entry)
      : a_offsets(ChainOffsets(sums, s.depth, s.a_depth_stride)),
        b_offsets(ChainOffsets(sums, s.depth, s.b_depth_stride)),
        rows(Bytes(a.data) + s.a_offsets[entry], a_offsets, s.rows, s.a_row_stride),
        columns(Bytes(b.data) + s.b_offsets[entry], b_offsets, s.columns, s.b_column_stride) {
    rows.AsX(sums, a);
    columns.AsW(sums, b, 0);
  }
};

// Results by the definition, of one product.
template <class Sum>
void SumByDefinition(const IntegerSums& sums, const MatMulShape& s, const Entry& sides, int64_t entry,
                     const IntegerEpilogue& epilogue, const Parallel& parallel, double share, void* y) {
  RunTasks(
      parallel, s.rows,
      [&](int64_t row) {
        Chain x, w;
        sides.rows.Load(row, &x);
        std::vector<Sum> results(s.columns);
        for (int64_t column = 0; column < s.columns; ++column) {
          sides.columns.Load(column, &w);
          results[column] = static_cast<Sum>(CorrectedSum(sums, x, w, s.depth));
        }
        WriteResults(epilogue, results.data(), s.columns, 0, 1, (entry * s.rows + row) * s.columns, y);
      },
      share);
}

// A matrix B as a plan has it; without lanes where the definition computes.
struct PackedMatrix {
  const IntegerPlan plan;
  std::unique_ptr<const PackedLanes> lanes;

  PackedMatrix(const IntegerSums& sums, const StridedChains& columns, const Parallel& parallel)
      : plan(PlanIntegers(sums, columns, columns.places())) {
    if (plan.kernels != nullptr) lanes = std::make_unique<const PackedLanes>(plan, sums, columns, parallel);
  }
};

// Blocks of rows against ranges of panels of columns.
struct Blocks {
  static constexpr int64_t kRows = 128, kTasks = 16, kLeastWork = 1 << 18;
  int64_t row_blocks, panels, panel_ranges;

  explicit Blocks(const MatMulShape& s) : row_blocks(CeilDiv(s.rows, kRows)), panels(CeilDiv(s.columns, kTileLanes)) {
    const int64_t per_panel = std::min(s.rows, kRows) * kTileLanes * std::max<int64_t>(s.depth, 1);
    const int64_t most = CeilDiv(panels * per_panel, kLeastWork);
    panel_ranges = std::clamp<int64_t>(CeilDiv(kTasks, s.batch() * row_blocks), 1, std::min(panels, most));
  }
  int64_t count() const { return row_blocks * panel_ranges; }
};

// Rows of one tile against the lanes of a panel, finished and written to y[row][column].
void WriteTile(const IntegerPlan& plan, const PackedRows& rows, int64_t row, int count, const PackedLanes& lanes,
               int64_t panel, int lane_count, LaneFinish* finish, uint8_t* y, int64_t row_bytes, int64_t item_bytes) {
  alignas(64) int32_t sums[kTileRows * kTileLanes];
  const int64_t elements = rows.stride() / BytesIn(plan.layout());
  plan.TileOf(false)({lanes.panel(panel), rows.row(row), rows.stride(), elements, plan.group, count, lane_count,
                      &plan.constants, sums});
  for (int r = 0; r < count; ++r) {
    const RowFinish& of_row = finish->OfRow(rows.sum(row + r));
    if (lane_count == kTileLanes) {
      plan.kernels->finish_row(of_row, sums + r * kTileLanes, y + r * row_bytes);
    } else {
      alignas(64) uint8_t results[kTileLanes * 8];
      plan.kernels->finish_row(of_row, sums + r * kTileLanes, results);
      std::memcpy(y + r * row_bytes, results, lane_count * item_bytes);
    }
  }
}

void RunBlock(const IntegerSums& sums, const MatMulShape& s, const Entry& sides, const PackedMatrix& packed,
              const Codes& a, const IntegerEpilogue& epilogue, const Blocks& blocks, int64_t block, uint8_t* y) {
  const IntegerPlan& plan = packed.plan;
  const int64_t first = block / blocks.panel_ranges * Blocks::kRows;
  const int64_t count = std::min(s.rows - first, Blocks::kRows), range = block % blocks.panel_ranges;
  PackedRows rows(plan, Role::kX, sums, count, sides.rows.places());
  for (int64_t row = 0; row < count; ++row) rows.Pack(sides.rows, first + row, row);
  const int64_t item_bytes = BytesOf(epilogue.output), row_bytes = s.columns * item_bytes;
  const auto steps_at = [&](int64_t column) {
    return CorrectionSteps(sums, plan, a.type, ZeroPointOf(a, 0), sides.columns.type(),
                           sides.columns.zero_point(column));
  };
  const CorrectionSteps first_steps = steps_at(0);
  const auto steps_of = [&](int64_t column) {
    return sides.columns.has_one_zero_point() ? first_steps : steps_at(column);
  };
  const auto sum_of = [&](int64_t column) { return packed.lanes->sum(column); };
  for (int64_t panel = blocks.panels * range / blocks.panel_ranges;
       panel < blocks.panels * (range + 1) / blocks.panel_ranges; ++panel) {
    const int64_t column = panel * kTileLanes;
    const int lane_count = static_cast<int>(std::min<int64_t>(s.columns - column, kTileLanes));
    LaneFinish finish(epilogue, plan, s.depth, column, lane_count, steps_of, sum_of);
    for (int64_t row = 0; row < count; row += kTileRows) {
      ThrowIfStopped();
      const int row_count = static_cast<int>(std::min<int64_t>(count - row, kTileRows));
      WriteTile(plan, rows, row, row_count, *packed.lanes, panel, lane_count, &finish,
                y + (first + row) * row_bytes + column * item_bytes, row_bytes, item_bytes);
    }
    CountTiles(plan.kernels->path, CeilDiv(count, kTileRows));
  }
}

LbaMatMulArgs Described(const MatMulShape& shape, const Codes& a, const Codes& b, bool is_wide, void* y) {
  LbaMatMulArgs args{};
  args.a_type = TypeOf(a.type);
  args.b_type = TypeOf(b.type);
  args.y_type = is_wide ? LBA_INT64 : LBA_INT32;
  args.row_step = 1;
  args.batch = shape.batch();
  args.rows = shape.rows;
  args.columns = shape.columns;
  args.depth = shape.depth;
  args.a = a.data;
  args.a_offsets = shape.a_offsets.data();
  args.a_row_stride = shape.a_row_stride;
  args.a_depth_stride = shape.a_depth_stride;
  args.b = b.data;
  args.b_offsets = shape.b_offsets.data();
  args.b_depth_stride = shape.b_depth_stride;
  args.b_column_stride = shape.b_column_stride;
  args.y = y;
  args.a_zero_point = ZeroPointOf(a, 0);
  args.b_zero_points = b.zero_points;
  args.b_zero_point_stride = b.has_many_zero_points ? 1 : 0;
  return args;
}

// Counts the call, or shows it to the observer, who may write the sums.
void Record(const Accumulator& accumulator, const IntegerSums& sums, const MatMulShape& shape, const Codes& a,
            const Codes& b, void* y, const Parallel& parallel, StatisticsCollector* statistics) {
  if (statistics->is_observed()) {
    const LbaMatMulArgs args = Described(shape, a, b, sums.is_wide(), y);
    statistics->Observe(accumulator, &args, nullptr);
    return;
  }
  const int64_t call = statistics->NextCall(accumulator);
  const double share = (1 - ProductShare(statistics)) / static_cast<double>(shape.batch());
  for (int64_t entry = 0; entry < shape.batch(); ++entry) {
    const Entry sides(sums, shape, a, b, entry);
    CollectIntegerStatistics(sums, sides.rows, sides.columns, sides.a_offsets, call + entry, parallel, share,
                             statistics);
  }
}

}  // namespace

class PackedIntegerMatrices {
 public:
  PackedIntegerMatrices(const IntegerSums& sums, const MatMulShape& shape, const Codes& b, const Parallel& parallel)
      : kernels_(SelectedIntegerKernels()) {
    const std::vector<int64_t> offsets = ChainOffsets(sums, shape.depth, shape.b_depth_stride);
    for (const int64_t offset : shape.b_offsets) {
      if (matrices_.count(offset) != 0) continue;
      StridedChains columns(Bytes(b.data) + offset, offsets, shape.columns, shape.b_column_stride);
      columns.AsW(sums, b, 0);
      matrices_[offset] = std::make_unique<const PackedMatrix>(sums, columns, parallel);
    }
  }
  const PackedMatrix& At(int64_t offset) const { return *matrices_.at(offset); }
  bool IsFor(const IntegerKernels* kernels) const { return kernels_ == kernels; }

 private:
  const IntegerKernels* const kernels_;
  std::map<int64_t, std::unique_ptr<const PackedMatrix>> matrices_;  // by offset: broadcast ones are packed once
};

namespace {

void Multiply(const IntegerSums& sums, const MatMulShape& s, const Codes& a, const Codes& b,
              const PackedIntegerMatrices& packed, const IntegerEpilogue& epilogue, void* y, const Parallel& parallel,
              double share) {
  const Blocks blocks(s);
  const double entry_share = share / static_cast<double>(s.batch());
  for (int64_t entry = 0; entry < s.batch(); ++entry) {
    const Entry sides(sums, s, a, b, entry);
    const PackedMatrix& matrix = packed.At(s.b_offsets[entry]);
    if (matrix.lanes == nullptr || s.depth == 0) {
      (sums.is_wide() ? SumByDefinition<int64_t> : SumByDefinition<int32_t>)(sums, s, sides, entry, epilogue, parallel,
                                                                             entry_share, y);
      CountTiles(CpuPath::kExact, 1);
      continue;
    }
    uint8_t* results = static_cast<uint8_t*>(y) + entry * s.rows * s.columns * BytesOf(epilogue.output);
    RunTasks(
        parallel, blocks.count(),
        [&](int64_t block) { RunBlock(sums, s, sides, matrix, a, epilogue, blocks, block, results); }, entry_share);
  }
}

// By way of the sums of the whole call.
template <class Sum>
void MultiplyAndFinish(const Accumulator& accumulator, const IntegerSums& sums, const MatMulShape& s, const Codes& a,
                       const Codes& b, const PackedIntegerMatrices& packed, const IntegerEpilogue& epilogue, void* y,
                       const Parallel& parallel, StatisticsCollector* statistics) {
  std::vector<Sum> results(s.batch() * s.rows * s.columns);
  IntegerEpilogue as_they_are;
  as_they_are.output = sums.is_wide() ? IntegerOutput::kInt64 : IntegerOutput::kInt32;
  Multiply(sums, s, a, b, packed, as_they_are, results.data(), parallel, ProductShare(statistics));
  if (statistics != nullptr && s.depth > 0) {
    Record(accumulator, sums, s, a, b, results.data(), parallel, statistics);
  }
  RunTasks(parallel, s.batch() * s.rows, [&](int64_t row) {
    WriteResults(epilogue, results.data() + row * s.columns, s.columns, 0, 1, row * s.columns, y);
  });
}

}  // namespace

std::shared_ptr<const PackedIntegerMatrices> PackIntegerMatrices(const Accumulator& accumulator,
                                                                 const MatMulShape& shape, const Codes& b,
                                                                 const Parallel& parallel) {
  const IntegerSums sums = IntegerSumsOf(accumulator).For(b.type, false);
  RequireZeroPoints("b", b, shape.columns);
  return std::make_shared<const PackedIntegerMatrices>(sums, shape, b, parallel);
}

void IntegerMatMul(const Accumulator& accumulator, const MatMulShape& shape, const Codes& a, const Codes& b,
                   const PackedIntegerMatrices* packed, const IntegerEpilogue& epilogue, void* y,
                   const Parallel& parallel, StatisticsCollector* statistics) {
  const IntegerSums sums = IntegerSumsOf(accumulator).For(b.type, false);
  RequireZeroPoints("a", a, 1);
  RequireZeroPoints("b", b, shape.columns);
  if (shape.batch() == 0 || shape.rows == 0 || shape.columns == 0) return;
  std::shared_ptr<const PackedIntegerMatrices> packed_now;
  if (packed == nullptr || !packed->IsFor(SelectedIntegerKernels())) {
    packed_now = std::make_shared<const PackedIntegerMatrices>(sums, shape, b, parallel);
    packed = packed_now.get();
  }
  const bool has_wide_bias = sums.is_wide() && epilogue.bias != nullptr;
  if (statistics == nullptr && !has_wide_bias) {
    return Multiply(sums, shape, a, b, *packed, epilogue, y, parallel, 1);
  }
  (sums.is_wide() ? MultiplyAndFinish<int64_t> : MultiplyAndFinish<int32_t>)(accumulator, sums, shape, a, b, *packed,
                                                                             epilogue, y, parallel, statistics);
}

}  // namespace lba
