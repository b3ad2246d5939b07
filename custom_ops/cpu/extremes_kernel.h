// The largest magnitudes that the unquantized chains of a tile reach, in double, in the order of the definition.
// Include it only from the tile_<path>.cc files, each of which is compiled for its own instruction set.
#ifndef LBA_CPU_EXTREMES_KERNEL_H_
#define LBA_CPU_EXTREMES_KERNEL_H_

#include <algorithm>
#include <cstring>
#include <limits>

#include "cpu/tile.h"

namespace lba {
namespace {  // each instruction set has its own copy

// Vectors of double, and of as many float32 values.
struct Doubles2 {
  typedef double V __attribute__((vector_size(16)));
  typedef float Narrow __attribute__((vector_size(8)));
};
struct Doubles4 {
  typedef double V __attribute__((vector_size(32)));
  typedef float Narrow __attribute__((vector_size(16)));
};
struct Doubles8 {
  typedef double V __attribute__((vector_size(64)));
  typedef float Narrow __attribute__((vector_size(32)));
};

// Rows, one at a time, against kVectors vectors of columns. Infinite values are counted only if kCountsInfinity;
// leaving them out costs time.
template <class Doubles, bool kCountsInfinity>
struct ExtremesOfRows {
  using V = typename Doubles::V;
  using Narrow = typename Doubles::Narrow;
  static constexpr int kLanes = sizeof(V) / sizeof(double);
  static constexpr int kVectors = 4;  // chains side by side hide the latency of the additions

  V products[kVectors], partial_sums[kVectors], totals[kVectors];  // largest magnitudes so far

  ExtremesOfRows() {
    for (int v = 0; v < kVectors; ++v) products[v] = partial_sums[v] = totals[v] = V{};
  }

  static void Raise(const V& value, V* largest) {
    const V magnitude = value < 0 ? -value : value;
    if constexpr (kCountsInfinity) {
      *largest = magnitude > *largest ? magnitude : *largest;
    } else {
      const V finite = magnitude <= std::numeric_limits<double>::max() ? magnitude : V{};
      *largest = finite > *largest ? finite : *largest;
    }
  }

  void Follow(const ExtremesArgs& args, int row, int column) {
    V running[kVectors];
    for (int v = 0; v < kVectors; ++v) running[v] = V{};
    for (int64_t begin = 0; begin < args.depth; begin += args.chunk) {
      const int64_t end = std::min(begin + args.chunk, args.depth);
      V sums[kVectors];
      for (int v = 0; v < kVectors; ++v) sums[v] = V{};
      for (int64_t k = begin; k < end; ++k) {
        const double x = args.rows[k * kRowPanel + row];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          Narrow w;
          std::memcpy(&w, args.columns + k * kColumnPanel + column + v * kLanes, sizeof w);
          const V product = __builtin_convertvector(w, V) * x;
          Raise(product, &products[v]);
          sums[v] += product;
          Raise(sums[v], &partial_sums[v]);
        }
      }
      for (int v = 0; v < kVectors; ++v) {
        running[v] += sums[v];
        Raise(running[v], &totals[v]);
      }
    }
  }

  void Reduce(Extremes* extremes) const {
    for (int v = 0; v < kVectors; ++v) {
      for (int lane = 0; lane < kLanes; ++lane) {
        extremes->Merge({products[v][lane], partial_sums[v][lane], totals[v][lane]});
      }
    }
  }
};

template <class Doubles, bool kCountsInfinity>
Extremes ExtremesOfTile(const ExtremesArgs& args) {
  using Rows = ExtremesOfRows<Doubles, kCountsInfinity>;
  Rows largest;
  for (int row = 0; row < args.row_count; ++row) {
    for (int column = 0; column < args.column_count; column += Rows::kVectors * Rows::kLanes) {
      largest.Follow(args, row, column);
    }
  }
  Extremes extremes;
  largest.Reduce(&extremes);
  return extremes;
}

template <class Doubles>
Extremes TileExtremes(const ExtremesArgs& args) {
  const Extremes extremes = ExtremesOfTile<Doubles, true>(args);
  return extremes.is_finite() ? extremes : ExtremesOfTile<Doubles, false>(args);
}

}  // namespace
}  // namespace lba

#endif  // LBA_CPU_EXTREMES_KERNEL_H_
