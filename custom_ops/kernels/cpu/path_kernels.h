// What each CPU path does whatever the arithmetic: ranges of values, unquantized sums, gates and gradients.
#ifndef LBA_KERNELS_CPU_PATH_KERNELS_H_
#define LBA_KERNELS_CPU_PATH_KERNELS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "common/value_range.h"
#include "kernels/cpu/cpu_path.h"
#include "kernels/cpu/gates.h"

namespace lba {

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

using ExtremesKernel = Extremes (*)(const ExtremesArgs&);  // under FpMode::kNearest

// Multiplies the panel [depth][width] by the power of two `scale`, in place, and returns the range of the values
// before. Call under FpMode::kTowardZero.
using ScalePanelKernel = ValueRange (*)(float* panel, int64_t depth, int width, int64_t chunk, float scale);

struct PathKernels {
  ScalePanelKernel scale_panel;
  ExtremesKernel extremes;
  OpenKernel open;
  GradientKernel gradients;
};

const PathKernels& PathKernelsOf(CpuPath path);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_PATH_KERNELS_H_
