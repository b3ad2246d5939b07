// Kernels of an arithmetic from its definition alone (common/defined_dot.h), one value at a time: every operand, NaN
// and infinity included. The Definition is made from its Constants, its State copyable and comparable, and it brings
// besides
//   kSaturates                             whether anything does
//   ProductIsAtMax(x, w), IsAtMax(state)   whether it has saturated, for gradients and statistics
#ifndef LBA_KERNELS_CPU_DEFINITION_KERNELS_H_
#define LBA_KERNELS_CPU_DEFINITION_KERNELS_H_

#include <algorithm>

#include "common/defined_dot.h"
#include "kernels/cpu/gates.h"
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

// One output of a tile, followed a second time; its bits are added to the words, which are zero at first.
template <class Definition, Watch kWatch>
struct DefinedGates {
  using State = typename Definition::State;

  const Definition& definition;
  const GateArgs& args;
  const int row, column;

  void Follow() const {
    State sums[SumOrder::kMostLevels];
    for (State& sum : sums) sum = Definition::Start();
    const SumOrder& order = *args.order;
    GroupWords words(order, args.depth, args.joins + row);
    for (int64_t begin = 0; begin < args.depth; begin += order.chunk()) {
      const int64_t end = std::min(begin + order.chunk(), args.depth);
      State sum = FollowChunk(begin, end);
      for (int level = 0;; ++level) {
        sums[level] = Joined(sums[level], sum, words.Next(level));
        if (!order.Passes(level, end, args.depth)) break;
        sum = sums[level];
        sums[level] = Definition::Start();
      }
    }
  }

 private:
  void Note(bool gated, uint32_t* word) const { *word |= uint32_t{gated} << column; }

  State Joined(const State& total, const State& sum, uint32_t* word) const {
    const State next = OutputOf<Definition>::At(definition, {}).Join(total, sum, 1, 0);
    Note(kWatch == Watch::kDifference ? next == total && !(sum == Definition::Start()) : definition.IsAtMax(next),
         word);
    return next;
  }

  State FollowChunk(int64_t begin, int64_t end) const {
    State sum = Definition::Start();
    for (int64_t k = begin; k < end; ++k) {
      const float x = args.rows[k * kRowPanel + row], w = args.columns[k * kColumnPanel + column];
      const State next = OutputOf<Definition>::At(definition, {}).Step(sum, x, w, 0);
      const int64_t word = k * kRowPanel + row;
      if constexpr (kWatch == Watch::kOverflow) {
        Note(definition.ProductIsAtMax(x, w), args.products + word);
        Note(definition.IsAtMax(next), args.sums + word);
      }
      if constexpr (kWatch == Watch::kDifference) Note(next == sum, args.sums + word);
      sum = next;
    }
    return sum;
  }
};

template <class Definition, Watch kWatch>
void FollowDefinedTile(const GateArgs& args) {
  const Definition definition = DefinitionOf<Definition>(args.constants);
  const int64_t words = args.depth * kRowPanel, groups = CountGroups(*args.order, args.depth);
  if constexpr (kWatch == Watch::kOverflow) std::fill(args.products, args.products + words, 0u);
  if constexpr (kWatch != Watch::kJoins) std::fill(args.sums, args.sums + words, 0u);
  std::fill(args.joins, args.joins + groups * kRowPanel, 0u);
  for (int row = 0; row < args.row_count; ++row) {
    for (int column = 0; column < args.column_count; ++column) {
      DefinedGates<Definition, kWatch>{definition, args, row, column}.Follow();
    }
  }
}

template <class Definition>
const TileKernels& DefinedKernels() {
  static const TileKernels kernels = [] {
    TileKernels made{CpuPath::kExact, FpMode::kNearest, {}, {}, {}};
    std::fill(made.tile, made.tile + kMostVariants, RunDefinedTile<Definition>);
    std::fill(made.direct, made.direct + kMostVariants, RunDefinedDirect<Definition>);
    const GateKernel gates[kWatches] = {FollowDefinedTile<Definition, Watch::kJoins>,
                                        FollowDefinedTile<Definition, Watch::kOverflow>,
                                        FollowDefinedTile<Definition, Watch::kDifference>};
    for (int watch = 0; watch < kWatches; ++watch) std::fill_n(made.gates[watch], kGateVariants, gates[watch]);
    return made;
  }();
  return kernels;
}

}  // namespace lba

#endif  // LBA_KERNELS_CPU_DEFINITION_KERNELS_H_
