// Kernels of an arithmetic from its definition alone (common/defined_dot.h), one value at a time: every operand, NaN
// and infinity included. The Definition is made from its Constants, its State copyable and comparable, and it brings
// besides
//   kSaturates                             whether anything does
//   ProductIsAtMax(x, w), IsAtMax(state)   whether it has saturated, for gradients and statistics
#ifndef LBA_KERNELS_CPU_DEFINITION_KERNELS_H_
#define LBA_KERNELS_CPU_DEFINITION_KERNELS_H_

#include <algorithm>

#include "common/defined_dot.h"
#include "kernels/cpu/defined_gates.h"
#include "kernels/cpu/tile.h"

namespace lba {

// For definitions whose values have no largest.
struct NothingSaturates {
  static constexpr bool kSaturates = false;
  static bool ProductIsAtMax(float, float) { return false; }
  template <class State>
  static bool IsAtMax(const State&) {
    return false;
  }
};

template <class Definition>
Definition DefinitionOf(const void* constants) {
  return Definition(*static_cast<const typename Definition::Constants*>(constants));
}

// What the sum of an output starts from; `starts` may be null.
template <class Definition>
typename Definition::State StartOf(const Definition& definition, int64_t depth, const SumOrder& order,
                                   const Place& place, const float* starts, int64_t output) {
  if constexpr (HasStarts<Definition>::value) {
    if (starts != nullptr) {
      return OutputOf<Definition>::At(definition, place).StartFrom(starts[output], order.last_level(), depth);
    }
  }
  return Definition::Start();
}

template <class Definition>
void RunDefinedTile(const TileArgs& args) {
  const Definition definition = DefinitionOf<Definition>(args.constants);
  for (int r = 0; r < args.row_count; ++r) {
    for (int c = 0; c < args.column_count; ++c) {
      const int64_t output = r * kColumnPanel + c;
      const Place place = args.places.At(r, c);
      const auto start = StartOf(definition, args.depth, *args.order, place, args.starts, output);
      args.out[output] =
          DefinedDotFrom(start, definition, args.depth, *args.order, place, [&](int64_t k, float* x, float* w) {
            *x = args.rows[k * kRowPanel + r];
            *w = args.columns[k * kColumnPanel + c];
          });
    }
  }
}

template <class Definition>
void RunDefinedDirect(const DirectArgs& args) {
  const Definition definition = DefinitionOf<Definition>(args.constants);
  for (int64_t q = 0; q < args.count; ++q) {
    const auto start = StartOf(definition, args.depth, *args.order, args.place, args.starts, q);
    args.out[q] =
        DefinedDotFrom(start, definition, args.depth, *args.order, args.place, [&](int64_t k, float* x, float* w) {
          *x = args.plane[args.offsets[k] + q];
          *w = args.weights[k];
        });
  }
}

template <class Definition>
void OpenDefinedTile(const OpenTileArgs& args) {
  const Definition definition = DefinitionOf<Definition>(args.tile.constants);
  for (int r = 0; r < args.tile.row_count; ++r) {
    for (int c = 0; c < args.tile.column_count; ++c) {
      const DefinedGates<Definition> gates(definition, args, r, c);
      args.tile.out[r * kColumnPanel + c] = definition.Finish(gates.Follow());
    }
  }
}

template <class Definition>
const TileKernels& DefinedKernels() {
  static const TileKernels kernels = [] {
    TileKernels made{CpuPath::kExact, FpMode::kNearest, {}, {}, {}};
    std::fill(made.tile, made.tile + kMostVariants, RunDefinedTile<Definition>);
    std::fill(made.direct, made.direct + kMostVariants, RunDefinedDirect<Definition>);
    return made;
  }();
  return kernels;
}

}  // namespace lba

#endif  // LBA_KERNELS_CPU_DEFINITION_KERNELS_H_
