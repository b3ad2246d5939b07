// What each CPU path does whatever the arithmetic: ranges of values, unquantized sums, gates and gradients, weights
// from codes.
#ifndef LBA_KERNELS_CPU_PATH_KERNELS_H_
#define LBA_KERNELS_CPU_PATH_KERNELS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "common/levels.h"
#include "common/value_range.h"
#include "kernels/cpu/cpu_path.h"
#include "kernels/cpu/dequantize.h"
#include "kernels/cpu/gates.h"

namespace lba {

// The largest finite magnitudes of unquantized values, by level.
struct Extremes {
  double levels[kMaxLevels]{};

  bool is_finite() const {
    return std::all_of(levels, levels + kMaxLevels, [](double value) { return std::isfinite(value); });
  }
  void Raise(int level, double value) { levels[level] = std::max(levels[level], value); }
  void Merge(const Extremes& other) {
    for (int level = 0; level < kMaxLevels; ++level) Raise(level, other.levels[level]);
  }
};

// rows [depth][kRowPanel] and columns [depth][kColumnPanel] as they are; columns past the count hold zeros. Products
// are the caller's. `Number` is double, which the extremes are defined in, or float.
template <class Number>
struct ExtremesArgs {
  const Number* rows;
  const Number* columns;
  int64_t depth;
  SumGroups groups;
  int row_count, column_count;
  const Number* starts;  // [kRowPanel][kColumnPanel]; null: all sums start from zero
  int started_sum;       // which sum of the groups starts from them
};

// One filter of a convolution at the positions of planes: weights[k] times planes[offsets[k] + position]. Masks are
// INT64_MAX where a position is an output, and else 0. All arrays of positions go on by kPlaneTail. Products are the
// caller's.
struct PlaneExtremesArgs {
  const double* weights;
  const double* planes;
  const int64_t* offsets;
  const int64_t* masks;
  int64_t positions;
  int64_t depth;
  SumGroups groups;
  const double* starts;  // null: all sums start from zero
  int started_sum;       // which sum of the groups starts from them
};

constexpr int64_t kPlaneTail = 32;  // the most positions that are computed side by side

// All under FpMode::kNearest. Those in float are rounded at each step, and infinite where a sum leaves its range.
using ExtremesKernel = Extremes (*)(const ExtremesArgs<double>&);
using FloatExtremesKernel = Extremes (*)(const ExtremesArgs<float>&);
using PlaneExtremesKernel = Extremes (*)(const PlaneExtremesArgs&);

// Multiplies the panel [depth][width] by the power of two `scale`, in place, and returns the range of the values
// before. Call under FpMode::kTowardZero.
using ScalePanelKernel = ValueRange (*)(float* panel, int64_t depth, int width, int64_t chunk, float scale);

struct PathKernels {
  ScalePanelKernel scale_panel;
  ExtremesKernel extremes;
  FloatExtremesKernel float_extremes;
  PlaneExtremesKernel plane_extremes;
  OpenKernel open;
  GradientKernel gradients;
  DequantizeKernel dequantize;
};

const PathKernels& PathKernelsOf(CpuPath path);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_PATH_KERNELS_H_
