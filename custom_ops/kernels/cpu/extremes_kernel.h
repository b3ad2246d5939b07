// The largest magnitudes that the unquantized chains of a tile reach, in double, in the order of the definition.
// Include it only from files that are compiled for one instruction set.
#ifndef LBA_KERNELS_CPU_EXTREMES_KERNEL_H_
#define LBA_KERNELS_CPU_EXTREMES_KERNEL_H_

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/cpu/panel.h"
#include "kernels/cpu/path_kernels.h"

namespace lba {
namespace {  // each instruction set has its own copy

// Vectors of double, and of their bits. Products of float32 values are exact in double, so that a fused multiply-add
// rounds as a multiplication and an addition do.
struct Doubles2 {
  typedef double V __attribute__((vector_size(16)));
  typedef int64_t Bits __attribute__((vector_size(16)));

  static V MultiplyAdd(V w, double x, V sum) { return sum + w * x; }
  // The larger of the magnitude of `value` and `largest`; `largest` where value is NaN.
  static V Largest(V value, V largest) {
    const V magnitude = reinterpret_cast<V>(reinterpret_cast<Bits>(value) & INT64_MAX);
    return magnitude > largest ? magnitude : largest;
  }
};
#if defined(__AVX2__)
struct Doubles4 {
  typedef double V __attribute__((vector_size(32)));
  typedef int64_t Bits __attribute__((vector_size(32)));

  static V MultiplyAdd(V w, double x, V sum) { return _mm256_fmadd_pd(w, _mm256_set1_pd(x), sum); }
  static V Largest(V value, V largest) {
    return _mm256_max_pd(reinterpret_cast<V>(reinterpret_cast<Bits>(value) & INT64_MAX), largest);
  }
};
#endif
#if defined(__AVX512DQ__)
struct Doubles8 {
  typedef double V __attribute__((vector_size(64)));
  typedef int64_t Bits __attribute__((vector_size(64)));

  static V MultiplyAdd(V w, double x, V sum) { return _mm512_fmadd_pd(w, _mm512_set1_pd(x), sum); }
  static V Largest(V value, V largest) {
    constexpr int kLargerMagnitude = 3, kWithoutSign = 2 << 2;
    return _mm512_range_pd(value, largest, kLargerMagnitude | kWithoutSign);
  }
};
#endif

// Rows, one at a time, against kVectors vectors of columns. Infinite sums are counted only if kCountsInfinity; leaving
// them out costs time.
template <class Doubles, bool kCountsInfinity>
struct ExtremeSums {
  using V = typename Doubles::V;
  using Bits = typename Doubles::Bits;
  static constexpr int kLanes = sizeof(V) / sizeof(double);
  static constexpr int kVectors = 4;  // chains side by side hide the latency of the additions

  V largest[kMaxSums][kVectors];  // magnitudes so far

  ExtremeSums() {
    for (V(&sum)[kVectors] : largest) std::fill_n(sum, kVectors, V{});
  }

  static void Raise(const V& value, V* known) {
    if constexpr (kCountsInfinity) {
      *known = Doubles::Largest(value, *known);
    } else {
      const V magnitude = reinterpret_cast<V>(reinterpret_cast<Bits>(value) & INT64_MAX);
      *known = Doubles::Largest(magnitude <= std::numeric_limits<double>::max() ? magnitude : V{}, *known);
    }
  }

  static void AddTo(V (&sums)[kVectors], const V (&ended)[kVectors], V (&known)[kVectors]) {
    for (int v = 0; v < kVectors; ++v) {
      sums[v] += ended[v];
      Raise(sums[v], &known[v]);
    }
  }

  static void Start(const ExtremesArgs& args, int n, int row, int column, V (&sums)[kVectors]) {
    std::fill_n(sums, kVectors, V{});
    if (args.starts == nullptr || args.started_sum != n) return;
    std::memcpy(&sums, args.starts + row * kColumnPanel + column, sizeof sums);
  }

  void Follow(const ExtremesArgs& args, int row, int column) {
    V outer[kMaxSums][kVectors], first_largest[kVectors];  // outer[0] is not used
    for (int n = 1; n <= args.groups.count; ++n) Start(args, n, row, column, outer[n]);
    std::copy_n(largest[0], kVectors, first_largest);
    for (int64_t begin = 0, end = 0; begin < args.depth; begin = end) {
      end = args.groups.RunEnd(begin, args.depth);
      V sums[kVectors];
      Start(args, 0, row, column, sums);
      for (int64_t k = begin; k < end; ++k) {
        const double x = args.rows[k * kRowPanel + row];
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          V w;
          std::memcpy(&w, args.columns + k * kColumnPanel + column + v * kLanes, sizeof w);
          sums[v] = Doubles::MultiplyAdd(w, x, sums[v]);
          Raise(sums[v], &first_largest[v]);
        }
      }
      if (args.groups.count == 0) continue;
      AddTo(outer[1], sums, largest[1]);
      for (int n = 1; n < args.groups.count && args.groups.Ends(n, end, args.depth); ++n) {
        AddTo(outer[n + 1], outer[n], largest[n + 1]);
        std::fill_n(outer[n], kVectors, V{});
      }
    }
    std::copy_n(first_largest, kVectors, largest[0]);
  }

  void Reduce(Extremes* extremes) const {
    for (int n = 0; n < kMaxSums; ++n) {
      for (int v = 0; v < kVectors; ++v) {
        for (int lane = 0; lane < kLanes; ++lane) extremes->Raise(n + 1, largest[n][v][lane]);
      }
    }
  }
};

template <class Doubles, bool kCountsInfinity>
Extremes SumsOfTile(const ExtremesArgs& args) {
  using Sums = ExtremeSums<Doubles, kCountsInfinity>;
  Sums largest;
  for (int row = 0; row < args.row_count; ++row) {
    for (int column = 0; column < args.column_count; column += Sums::kVectors * Sums::kLanes) {
      largest.Follow(args, row, column);
    }
  }
  Extremes extremes;
  largest.Reduce(&extremes);
  return extremes;
}

template <class Doubles>
Extremes TileExtremes(const ExtremesArgs& args) {
  const Extremes extremes = SumsOfTile<Doubles, true>(args);
  return extremes.is_finite() ? extremes : SumsOfTile<Doubles, false>(args);
}

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_EXTREMES_KERNEL_H_
