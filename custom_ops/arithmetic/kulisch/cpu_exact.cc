#include <algorithm>

#include "arithmetic/kulisch/bins.h"
#include "arithmetic/kulisch/cpu_kernels.h"
#include "arithmetic/kulisch/definition.h"

namespace lba {
namespace {

const RuledConstants& ResultOf(const void* constants) { return *static_cast<const RuledConstants*>(constants); }

double Product(float x, float w) { return static_cast<double>(x) * static_cast<double>(w); }

WideSum StartOf(const float* starts, int64_t output) {
  WideSum sum;
  if (starts != nullptr) sum.Add(starts[output]);
  return sum;
}

WideSum ExactSum(const TileArgs& args, int row, int column) {
  WideSum sum = StartOf(args.starts, row * kColumnPanel + column);
  for (int64_t k = 0; k < args.depth; ++k) {
    sum.Add(Product(args.rows[k * kRowPanel + row], args.columns[k * kColumnPanel + column]));
  }
  return sum;
}

void RunExactTile(const TileArgs& args) {
  for (int r = 0; r < args.row_count; ++r) {
    for (int c = 0; c < args.column_count; ++c) {
      args.out[r * kColumnPanel + c] = RoundedResult(ExactSum(args, r, c), ResultOf(args.constants));
    }
  }
}

void RunExactDirect(const DirectArgs& args) {
  for (int64_t q = 0; q < args.count; ++q) {
    WideSum sum = StartOf(args.starts, q);
    for (int64_t k = 0; k < args.depth; ++k) sum.Add(Product(args.plane[args.offsets[k] + q], args.weights[k]));
    args.out[q] = RoundedResult(sum, ResultOf(args.constants));
  }
}

}  // namespace

// The one step that loses is the rounding of the whole sum.
void OpenKulischTile(const OpenTileArgs& args) {
  const RuledConstants& result = ResultOf(args.tile.constants);
  for (int r = 0; r < args.tile.row_count; ++r) {
    for (int c = 0; c < args.tile.column_count; ++c) {
      const double exact = ExactSum(args.tile, r, c).ToOdd();
      const float total = RoundedResult(exact, result);
      args.tile.out[r * kColumnPanel + c] = total;
      const bool is_gated = args.estimator == Estimator::kImmediateDifference ? exact != 0 && total == 0
                                                                              : result.accumulator.IsLargest(total);
      if (!is_gated) continue;
      const int64_t terms = args.tile.depth + (args.tile.starts == nullptr ? 0 : 1);
      for (int64_t k = 0; k < terms; ++k) args.open[k * kRowPanel + r] &= ~(uint32_t{1} << c);
    }
  }
}

const TileKernels& KulischExactKernels() {
  static const TileKernels kernels = [] {
    TileKernels made{CpuPath::kExact, FpMode::kNearest, {}, {}, {}};
    made.tile[0] = RunExactTile;
    made.direct[0] = RunExactDirect;
    return made;
  }();
  return kernels;
}

void FinishBins(const void* constants, const double* parts, int bins, int stride, int count, const float* starts,
                float* out) {
  const RuledConstants& result = ResultOf(constants);
  for (int i = 0; i < count; ++i) {
    if (bins == 1 || (bins == 2 && starts == nullptr)) {
      const double other = bins == 2 ? parts[stride + i] : starts == nullptr ? 0 : starts[i];
      out[i] = RoundedResult(AddToOdd(parts[i], other), result);
      continue;
    }
    WideSum sum = StartOf(starts, i);
    for (int bin = 0; bin < bins; ++bin) sum.Add(parts[bin * stride + i]);
    out[i] = RoundedResult(sum, result);
  }
}

}  // namespace lba
