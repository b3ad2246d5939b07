#include <algorithm>

#include "arithmetic/kulisch/bins.h"
#include "arithmetic/kulisch/cpu_kernels.h"
#include "arithmetic/kulisch/definition.h"

namespace lba {
namespace {

const RuledConstants& ResultOf(const void* constants) { return *static_cast<const RuledConstants*>(constants); }

void RunExactTile(const TileArgs& args) {
  for (int r = 0; r < args.row_count; ++r) {
    for (int c = 0; c < args.column_count; ++c) {
      WideSum sum;
      for (int64_t k = 0; k < args.depth; ++k) {
        sum.AddProduct(args.rows[k * kRowPanel + r], args.columns[k * kColumnPanel + c]);
      }
      args.out[r * kColumnPanel + c] = RoundedResult(sum, ResultOf(args.constants));
    }
  }
}

void RunExactDirect(const DirectArgs& args) {
  for (int64_t q = 0; q < args.count; ++q) {
    WideSum sum;
    for (int64_t k = 0; k < args.depth; ++k) sum.AddProduct(args.plane[args.offsets[k] + q], args.weights[k]);
    args.out[q] = RoundedResult(sum, ResultOf(args.constants));
  }
}

}  // namespace

const TileKernels& KulischExactKernels() {
  static const TileKernels kernels = [] {
    TileKernels made{CpuPath::kExact, FpMode::kNearest, {}, {}, {}};
    made.tile[0] = RunExactTile;
    made.direct[0] = RunExactDirect;
    return made;
  }();
  return kernels;
}

void FinishBins(const void* constants, const double* parts, int bins, int stride, int count, float* out) {
  const RuledConstants& result = ResultOf(constants);
  for (int i = 0; i < count; ++i) {
    if (bins <= 2) {
      out[i] = RoundedResult(bins == 1 ? parts[i] : AddToOdd(parts[i], parts[stride + i]), result);
      continue;
    }
    WideSum sum;
    for (int bin = 0; bin < bins; ++bin) sum.Add(parts[bin * stride + i]);
    out[i] = RoundedResult(sum, result);
  }
}

}  // namespace lba
