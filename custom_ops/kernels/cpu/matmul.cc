#include "lba/matmul.h"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <vector>

#include "kernels/cpu/matrix_tasks.h"
#include "kernels/cpu/packed_panels.h"
#include "kernels/cpu/starts.h"
#include "kernels/cpu/statistics_chain.h"
#include "lba/watched_run.h"

namespace lba {
namespace {

StridedSource SourceOfA(const MatMulShape& shape, const float* a, int64_t entry) {
  return {a + shape.a_offsets[entry], shape.rows, shape.depth, shape.a_row_stride, shape.a_depth_stride};
}

StridedSource SourceOfB(const MatMulShape& shape, const float* b, int64_t offset) {
  return {b + offset, shape.columns, shape.depth, shape.b_column_stride, shape.b_depth_stride};
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
    return Place{shape.row_of(index[0]) + index[1], shape.first_column + index[2]};
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
  const MatrixTasks tasks(shape.rows, shape.columns, shape.depth, shape.batch());
  const auto run_task = [&](int64_t i) {
    const int64_t entry = i / tasks.count();
    const StridedSource rows = SourceOfA(shape, a, entry);
    const StridedSource columns = SourceOfB(shape, b, shape.b_offsets[entry]);
    const ProductSides sides{planner,
                             rows,
                             columns,
                             packed->At(shape.b_offsets[entry]),
                             MovingSide::kRows,
                             Place{shape.row_of(entry), shape.first_column},
                             1,
                             rounded.OfMatrix(entry, shape.rows)};
    tasks.Run(i % tasks.count(), sides, y + entry * shape.rows * shape.columns);
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
  const auto visit = [&](int64_t entry, const CountedProducts::Visitor& visitor) {
    visitor(SourceOfA(shape, a, entry), SourceOfB(shape, b, shape.b_offsets[entry]),
            OfMatrix(starts, entry, shape.rows));
  };
  CollectStatistics(accumulator, {shape.batch(), shape.rows, shape.columns, shape.depth, visit}, call, parallel,
                    1 - ProductShare(statistics), statistics);
}

}  // namespace lba
