// One matrix product, cut into tasks: blocks of row panels times blocks of column panels.
#ifndef LBA_KERNELS_CPU_MATRIX_TASKS_H_
#define LBA_KERNELS_CPU_MATRIX_TASKS_H_

#include <cstdint>

#include "kernels/cpu/moving_panel.h"

namespace lba {

class MatrixTasks {
 public:
  // `batch`: how many such products share the threads. `opening_costs`: panels of the columns are made when they are
  // opened, so that many rows of a task are worth more than their place in the cache.
  MatrixTasks(int64_t rows, int64_t columns, int64_t depth, int64_t batch, bool opening_costs = false);

  int64_t count() const { return CeilDiv(row_panels_, block_rows_) * column_blocks(); }
  // Writes the outputs of one task to y [rows][columns]. Rows are the moving side.
  void Run(int64_t task, const ProductSides& sides, float* y) const;

 private:
  int64_t column_blocks() const { return CeilDiv(column_panels_, block_columns_); }

  int64_t rows_, columns_;
  int64_t row_panels_, column_panels_;  // in the matrix
  int64_t block_rows_, block_columns_;  // panels per block
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_MATRIX_TASKS_H_
