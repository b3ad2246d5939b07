// The tables of ruled_kernels.h for one instruction set. Include it only from files that are compiled for it.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_TABLES_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_TABLES_H_

#include "arithmetic/chunked_float/ruled_arithmetic.h"
#include "arithmetic/chunked_float/ruled_kernels.h"
#include "arithmetic/chunked_float/ruled_stochastic.h"

namespace lba {
namespace {  // each instruction set has its own copy

template <bool kExactProducts, int kLanes>
const TileKernels& StochasticTable() {
  static const TileKernels kernels = [] {
    TileKernels made{CpuPath::kPortable, FpMode::kNearest, {}, {}, {}};
    std::fill(made.tile, made.tile + kMostVariants, RunRuledStochastic<kExactProducts, kLanes>);
    return made;
  }();
  return kernels;
}

template <template <int> class RoundingOf, bool kExactProducts, int kLanes>
const TileKernels& ChainTable() {
  static const TileKernels kernels = MakeRuledChains<RuledArithmetic<RoundingOf, kExactProducts, kLanes>>();
  return kernels;
}

template <bool kExactProducts, int kLanes>
const TileKernels& TableOf(Rounding rounding) {
  if (rounding == Rounding::kStochastic) return StochasticTable<kExactProducts, kLanes>();
  if (rounding == Rounding::kNearest) return ChainTable<NearestRounding, kExactProducts, kLanes>();
  return ChainTable<OtherRounding, kExactProducts, kLanes>();
}

template <int kLanes>
const TileKernels& TableOf(Rounding rounding, bool exact_products) {
  return exact_products ? TableOf<true, kLanes>(rounding) : TableOf<false, kLanes>(rounding);
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_TABLES_H_
