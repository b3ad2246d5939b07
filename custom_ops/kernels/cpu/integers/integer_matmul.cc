#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/cpu/integers/definition.h"
#include "kernels/cpu/integers/epilogue.h"
#include "kernels/cpu/integers/observation.h"
#include "kernels/cpu/integers/statistics.h"
#include "kernels/cpu/statistics_chain.h"
#include "lba/integer_product.h"

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

// y[entry][row][column], int32 or int64.
template <class Sum>
void SumByDefinition(const IntegerSums& sums, const MatMulShape& s, const Codes& a, const Codes& b,
                     const Parallel& parallel, double share, Sum* y) {
  for (int64_t entry = 0; entry < s.batch(); ++entry) {
    const Entry sides(sums, s, a, b, entry);
    const auto sum_column = [&](int64_t column) {
      Chain x, w;
      sides.columns.Load(column, &w);
      for (int64_t row = 0; row < s.rows; ++row) {
        sides.rows.Load(row, &x);
        y[(entry * s.rows + row) * s.columns + column] = static_cast<Sum>(CorrectedSum(sums, x, w, s.depth));
      }
    };
    RunTasks(parallel, s.columns, sum_column, share / static_cast<double>(s.batch()));
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

template <class Sum>
void SumAndFinish(const Accumulator& accumulator, const IntegerSums& sums, const MatMulShape& s, const Codes& a,
                  const Codes& b, const IntegerEpilogue& epilogue, void* y, const Parallel& parallel,
                  StatisticsCollector* statistics) {
  std::vector<Sum> results(s.batch() * s.rows * s.columns);
  SumByDefinition(sums, s, a, b, parallel, ProductShare(statistics), results.data());
  if (statistics != nullptr && s.depth > 0) {
    Record(accumulator, sums, s, a, b, results.data(), parallel, statistics);
  }
  RunTasks(parallel, s.batch() * s.rows, [&](int64_t row) {
    WriteResults(epilogue, results.data() + row * s.columns, s.columns, 0, 1, row * s.columns, y);
  });
}

}  // namespace

class PackedIntegerMatrices {};

std::shared_ptr<const PackedIntegerMatrices> PackIntegerMatrices(const Accumulator&, const MatMulShape&, const Codes&,
                                                                 const Parallel&) {
  return std::make_shared<PackedIntegerMatrices>();
}

void IntegerMatMul(const Accumulator& accumulator, const MatMulShape& shape, const Codes& a, const Codes& b,
                   const PackedIntegerMatrices*, const IntegerEpilogue& epilogue, void* y, const Parallel& parallel,
                   StatisticsCollector* statistics) {
  const IntegerSums sums = IntegerSumsOf(accumulator).For(b.type, false);
  RequireZeroPoints("a", a, 1);
  RequireZeroPoints("b", b, shape.columns);
  if (shape.batch() == 0 || shape.rows == 0 || shape.columns == 0) return;
  (sums.is_wide() ? SumAndFinish<int64_t> : SumAndFinish<int32_t>)(accumulator, sums, shape, a, b, epilogue, y,
                                                                   parallel, statistics);
}

}  // namespace lba
