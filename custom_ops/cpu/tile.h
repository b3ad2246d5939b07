// The tile kernels: one table of functions per CPU path. All of them follow tile_kernel.h.
#ifndef LBA_CPU_TILE_H_
#define LBA_CPU_TILE_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "cpu/cpu_path.h"
#include "cpu/fp_environment.h"
#include "cpu/panel.h"
#include "lba/fmaq.h"
#include "lba/short_cuts.h"

namespace lba {

// out[r][c], r < row_count, c < column_count rounded up to a vector: dot products of rows [depth][kRowPanel] and
// columns [depth][kColumnPanel].
struct TileArgs {
  const TileConstants* constants;
  const float* rows;
  const float* columns;
  int64_t depth, chunk;
  int row_count, column_count;
  float* out;  // [kRowPanel][kColumnPanel]
};

// out[q], q < count rounded up to kDirectRounding: dot products of weights[k] and plane[offsets[k] + q].
constexpr int64_t kDirectRounding = 16;
struct DirectArgs {
  const TileConstants* constants;
  const float* weights;
  const float* plane;
  const int64_t* offsets;
  int64_t depth, chunk, count;
  float* out;
};

// The largest finite magnitudes of unquantized values.
struct Extremes {
  double product = 0, partial_sum = 0, total = 0;

  bool is_finite() const { return std::isfinite(product) && std::isfinite(partial_sum) && std::isfinite(total); }
  void Merge(const Extremes& other) {
    product = std::max(product, other.product);
    partial_sum = std::max(partial_sum, other.partial_sum);
    total = std::max(total, other.total);
  }
};

// rows [depth][kRowPanel] and columns [depth][kColumnPanel] as they are; columns past the count hold zeros. Products
// are the caller's.
struct ExtremesArgs {
  const double* rows;
  const double* columns;
  int64_t depth, chunk;
  int row_count, column_count;
};

using TileKernel = void (*)(const TileArgs&);
using DirectKernel = void (*)(const DirectArgs&);
using ExtremesKernel = Extremes (*)(const ExtremesArgs&);

struct TileKernels {
  CpuPath path;
  FpMode mode;
  TileKernel tile[kTileVariants];
  DirectKernel direct[kTileVariants];
  ExtremesKernel extremes;  // under FpMode::kNearest
};

const TileKernels& KernelsOf(CpuPath path);

// Multiplies the panel [depth][width] by the power of two `scale`, in place, and returns the range of the values
// before. Call under FpMode::kTowardZero.
using ScalePanelKernel = ValueRange (*)(float* panel, int64_t depth, int width, int64_t chunk, float scale);
ScalePanelKernel ScalePanelOf(CpuPath path);

}  // namespace lba

#endif  // LBA_CPU_TILE_H_
