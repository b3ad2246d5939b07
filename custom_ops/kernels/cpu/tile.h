// The kernels of an arithmetic: one table of functions per CPU path. Those of vectors follow tile_kernel.h and
// gate_kernel.h, those of a definition definition_kernels.h.
#ifndef LBA_KERNELS_CPU_TILE_H_
#define LBA_KERNELS_CPU_TILE_H_

#include <cstdint>

#include "common/random_bits.h"
#include "common/sum_order.h"
#include "kernels/cpu/cpu_path.h"
#include "kernels/cpu/fp_environment.h"
#include "kernels/cpu/gates.h"
#include "kernels/cpu/panel.h"

namespace lba {

// Where the outputs of a tile stand among those of their node; for arithmetics whose outputs differ by it.
struct TilePlaces {
  Place first;
  int64_t row_step = 1;           // of the node's rows, from one vector of the moving operand to the next
  bool columns_are_rows = false;  // columns of the tile are the node's rows

  Place At(int row, int column) const {
    if (columns_are_rows) return {first.row + column * row_step, first.column + row};
    return {first.row + row * row_step, first.column + column};
  }
};

// out[r][c], r < row_count, c < column_count rounded up to a vector: dot products of rows [depth][kRowPanel] and
// columns [depth][kColumnPanel].
struct TileArgs {
  const void* constants;  // the arithmetic's own
  const float* rows;
  const float* columns;
  int64_t depth;
  const SumOrder* order;
  int row_count, column_count;
  float* out;  // [kRowPanel][kColumnPanel]
  TilePlaces places;
  const float* starts;  // [kRowPanel][kColumnPanel], rounded, in the scale of the sums; null: totals start from zero
};

// out[q], q < count rounded up to kDirectRounding: dot products of weights[k] and plane[offsets[k] + q].
constexpr int64_t kDirectRounding = 16;
struct DirectArgs {
  const void* constants;  // the arithmetic's own
  const float* weights;
  const float* plane;
  const int64_t* offsets;
  int64_t depth;
  const SumOrder* order;
  int64_t count;
  float* out;
  Place place;          // where count is 1
  const float* starts;  // as many values as `out` has, as in TileArgs
};

using TileKernel = void (*)(const TileArgs&);
using DirectKernel = void (*)(const DirectArgs&);

constexpr int kMostVariants = 8;

struct TileKernels {
  CpuPath path;
  FpMode mode;
  TileKernel tile[kMostVariants];
  DirectKernel direct[kMostVariants];
  const GateKernels* gates;  // of steps that round products; null where there are none
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_TILE_H_
