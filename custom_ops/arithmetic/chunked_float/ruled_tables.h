// The tables of ruled_kernels.h for one instruction set. Include it only from files that are compiled for it.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_TABLES_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_TABLES_H_

#include "arithmetic/chunked_float/ruled_arithmetic.h"
#include "arithmetic/chunked_float/ruled_kernels.h"
#include "arithmetic/chunked_float/ruled_stochastic.h"

namespace lba {
namespace {  // each instruction set has its own copy

template <Rounding kRounding, bool kExactProducts, int kLanes>
const TileKernels& TableOf(bool is_tree) {
  using Arithmetic = RuledArithmetic<kRounding, kExactProducts, kLanes>;
  static const TileKernels chains = MakeRuledChains<Arithmetic>();
  using Tree = RuledTree<kRounding, kExactProducts, kLanes>;
  static const TileKernels trees = MakeTreeKernels<Tree, Tree>(CpuPath::kPortable, FpMode::kNearest);
  return is_tree ? trees : chains;
}

template <bool kExactProducts, int kLanes>
const TileKernels& StochasticTable() {
  static const TileKernels kernels = [] {
    TileKernels made{CpuPath::kPortable, FpMode::kNearest, {}, {}, {}};
    std::fill(made.tile, made.tile + kMostVariants, RunRuledStochastic<kExactProducts, kLanes>);
    return made;
  }();
  return kernels;
}

template <bool kExactProducts, int kLanes>
const TileKernels& TableOf(const RuledKind& kind) {
  switch (kind.rounding) {
    case Rounding::kTruncate:
      return TableOf<Rounding::kTruncate, kExactProducts, kLanes>(kind.is_tree);
    case Rounding::kNearest:
      return TableOf<Rounding::kNearest, kExactProducts, kLanes>(kind.is_tree);
    case Rounding::kNearestAway:
      return TableOf<Rounding::kNearestAway, kExactProducts, kLanes>(kind.is_tree);
    case Rounding::kOdd:
      return TableOf<Rounding::kOdd, kExactProducts, kLanes>(kind.is_tree);
    case Rounding::kStochastic:
      break;
  }
  return StochasticTable<kExactProducts, kLanes>();
}

template <int kLanes>
const TileKernels& TableOf(const RuledKind& kind) {
  return kind.exact_products ? TableOf<true, kLanes>(kind) : TableOf<false, kLanes>(kind);
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_TABLES_H_
