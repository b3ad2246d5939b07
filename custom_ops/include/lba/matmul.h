// Batched matrix multiplication with a low bit-width accumulator.
#ifndef LBA_MATMUL_H_
#define LBA_MATMUL_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "arithmetic/accumulator.h"
#include "lba/parallel.h"
#include "lba/starts.h"
#include "lba/statistics.h"

namespace lba {

// One matrix per batch entry; strides and offsets count elements.
struct MatMulShape {
  int64_t rows = 0, columns = 0, depth = 0;
  std::vector<int64_t> a_offsets, b_offsets;  // one entry per batch entry
  int64_t a_row_stride = 0, a_depth_stride = 1;
  int64_t b_depth_stride = 0, b_column_stride = 1;
  // Where these are some outputs of a larger product: row r of batch entry b is its row first_row + b * entry_rows + r,
  // and column c its column first_column + c. entry_rows of 0 stands for `rows`.
  int64_t first_row = 0, first_column = 0, entry_rows = 0;

  int64_t batch() const { return static_cast<int64_t>(a_offsets.size()); }
  int64_t row_of(int64_t entry) const { return first_row + entry * (entry_rows == 0 ? rows : entry_rows); }
};

// The matrices B of a batch, scaled and laid out for the kernel of this CPU, with what is known of their values.
// Immutable; shared between concurrent calls.
class PackedMatrices;

// Packs every distinct matrix B of `shape` (only depth, columns, b_offsets and the b strides are read).
std::shared_ptr<const PackedMatrices> PackMatrices(const Accumulator& accumulator, const MatMulShape& shape,
                                                   const float* b, const Parallel& parallel);

// y[batch][rows][columns], contiguous. `packed` may be null; then B is packed for this call. `b` is needed either way:
// values that the fast paths cannot represent are read from it. `statistics` may be null. Throws std::invalid_argument
// for starts where the accumulator knows none.
void MatMul(const Accumulator& accumulator, const MatMulShape& shape, const float* a, const float* b,
            const PackedMatrices* packed, float* y, const Parallel& parallel, StatisticsCollector* statistics,
            const Starts& starts = {});

// What MatMul does after the products, for a y that another processor computed: counts the call, or shows it to the
// observer, who may write y. `statistics` may be null.
void RecordMatMul(const Accumulator& accumulator, const MatMulShape& shape, const float* a, const float* b, float* y,
                  const Parallel& parallel, StatisticsCollector* statistics, const Starts& starts = {});

}  // namespace lba

#endif  // LBA_MATMUL_H_
