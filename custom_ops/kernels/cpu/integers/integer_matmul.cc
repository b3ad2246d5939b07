#include <algorithm>
#include <memory>
#include <vector>

#include "common/arguments.h"
#include "kernels/cpu/integers/definition.h"
#include "kernels/cpu/integers/epilogue.h"
#include "lba/integer_product.h"

namespace lba {

class PackedIntegerMatrices {};

std::shared_ptr<const PackedIntegerMatrices> PackIntegerMatrices(const Accumulator&, const MatMulShape&, const Codes&,
                                                                 const Parallel&) {
  return std::make_shared<PackedIntegerMatrices>();
}

void IntegerMatMul(const Accumulator& accumulator, const MatMulShape& shape, const Codes& a, const Codes& b,
                   const PackedIntegerMatrices*, const IntegerEpilogue& epilogue, void* y, const Parallel& parallel,
                   StatisticsCollector*) {
  const IntegerSums sums = IntegerSumsOf(accumulator).For(b.type, false);
  RunTasks(parallel, shape.batch() * shape.rows, [&](int64_t task) {
    const int64_t entry = task / shape.rows, row = task % shape.rows;
    const ProductSide left{{static_cast<const char*>(a.data) + shape.a_offsets[entry], a.type, shape.rows,
                            shape.a_row_stride, ChainOffsets(sums, shape.depth, shape.a_depth_stride)},
                           a};
    const ProductSide right{{static_cast<const char*>(b.data) + shape.b_offsets[entry], b.type, shape.columns,
                             shape.b_column_stride, ChainOffsets(sums, shape.depth, shape.b_depth_stride)},
                            b};
    const LoadedChain x = LoadX(sums, left, row);
    std::vector<int64_t> results(shape.columns);
    for (int64_t column = 0; column < shape.columns; ++column) {
      results[column] = CorrectedSum(sums, x, LoadW(sums, right, column), shape.depth);
    }
    const int64_t first = task * shape.columns;
    if (sums.is_wide()) return WriteResults(epilogue, results.data(), shape.columns, 0, 1, first, y);
    const std::vector<int32_t> narrow(results.begin(), results.end());
    WriteResults(epilogue, narrow.data(), shape.columns, 0, 1, first, y);
  });
}

}  // namespace lba
