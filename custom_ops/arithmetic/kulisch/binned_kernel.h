// Tiles and rows of exact sums by bins.h. Include it only from files that are compiled for one instruction set.
#ifndef LBA_ARITHMETIC_KULISCH_BINNED_KERNEL_H_
#define LBA_ARITHMETIC_KULISCH_BINNED_KERNEL_H_

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <cstdint>
#include <cstring>

#include "arithmetic/kulisch/bins.h"
#include "kernels/cpu/tile.h"

namespace lba {
namespace {  // each instruction set has its own copy

struct Doubles2 {
  typedef double V __attribute__((vector_size(16)));

  static V Load(const float* values) { return V{values[0], values[1]}; }
};
#if defined(__AVX2__)
struct Doubles4 {
  typedef double V __attribute__((vector_size(32)));

  static V Load(const float* values) { return _mm256_cvtps_pd(_mm_loadu_ps(values)); }
};
#endif
#if defined(__AVX512F__)
struct Doubles8 {
  typedef double V __attribute__((vector_size(64)));

  static V Load(const float* values) { return _mm512_cvtps_pd(_mm256_loadu_ps(values)); }
};
#endif

// Of finite values that are not zero: all are below 2^(top - 127), and multiples of 2^(low - 150).
struct Extent {
  uint32_t max_bits = 0, min_bits_less_one = 0x7fffffffu, any_bits = 0;

  void Add(const float* values, int count) {
    for (int i = 0; i < count; ++i) {
      uint32_t bits;
      std::memcpy(&bits, values + i, sizeof bits);
      bits &= 0x7fffffffu;
      max_bits = bits > max_bits ? bits : max_bits;
      min_bits_less_one = bits - 1 < min_bits_less_one ? bits - 1 : min_bits_less_one;
      any_bits |= bits;
    }
  }
  int top() const { return static_cast<int>(max_bits >> 23) + 1; }
  int low() const {
    const uint32_t field = (min_bits_less_one + 1) >> 23;
    return static_cast<int>(field == 0 ? 1 : field) + __builtin_ctz(any_bits | 0x800000u);
  }
};

// How the products of two extents are cut.
struct Cuts {
  int bins = 1;
  double large[kMostBins];  // added and taken away again, it leaves multiples of a bin's last bit

  Cuts(const Extent& x, const Extent& w, int64_t depth) {
    if (x.max_bits == 0 || w.max_bits == 0) return;
    const int width = BinBits(depth), top = x.top() + w.top() - 254, low = x.low() + w.low() - 300;
    while (top - bins * width > low && bins < kMostBins) ++bins;
    for (int bin = 0; bin < bins; ++bin) large[bin] = 1.5 * PowerOfTwo(52 + top - (bin + 1) * width);
  }

  static double PowerOfTwo(int exponent) {
    const uint64_t bits = static_cast<uint64_t>(exponent + 1023) << 52;
    double value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
};

// parts[bin][2 vectors] = sums of x(k) * w(k, vector).
template <class Vector, int kBins, class X, class W>
void SumBins(int64_t depth, const Cuts& cuts, const X& x, const W& w, double* parts, int stride) {
  using V = typename Vector::V;
  constexpr int kLanes = sizeof(V) / sizeof(double);
  V sums[kBins][2] = {};
  for (int64_t k = 0; k < depth; ++k) {
    const double factor = x(k);
    V rest[2] = {w(k, 0) * factor, w(k, 1) * factor};
#pragma GCC unroll 4
    for (int bin = 0; bin + 1 < kBins; ++bin) {
#pragma GCC unroll 2
      for (int v = 0; v < 2; ++v) {
        const V cut = (rest[v] + cuts.large[bin]) - cuts.large[bin];
        sums[bin][v] += cut;
        rest[v] -= cut;
      }
    }
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) sums[kBins - 1][v] += rest[v];
  }
#pragma GCC unroll 4
  for (int bin = 0; bin < kBins; ++bin) {
#pragma GCC unroll 2
    for (int v = 0; v < 2; ++v) std::memcpy(parts + bin * stride + v * kLanes, &sums[bin][v], sizeof(V));
  }
}

template <class Vector, class X, class W>
void SumCut(int64_t depth, const Cuts& cuts, const X& x, const W& w, double* parts, int stride) {
  switch (cuts.bins) {
    case 1:
      return SumBins<Vector, 1>(depth, cuts, x, w, parts, stride);
    case 2:
      return SumBins<Vector, 2>(depth, cuts, x, w, parts, stride);
    case 3:
      return SumBins<Vector, 3>(depth, cuts, x, w, parts, stride);
    default:
      return SumBins<Vector, kMostBins>(depth, cuts, x, w, parts, stride);
  }
}

template <class Vector>
void RunBinnedTile(const TileArgs& args) {
  constexpr int kLanes = sizeof(typename Vector::V) / sizeof(double);
  Extent rows, columns;
  for (int64_t k = 0; k < args.depth; ++k) {
    rows.Add(args.rows + k * kRowPanel, kRowPanel);
    columns.Add(args.columns + k * kColumnPanel, kColumnPanel);
  }
  const Cuts cuts(rows, columns, args.depth);
  for (int r = 0; r < args.row_count; ++r) {
    double parts[kMostBins * kColumnPanel];
    for (int c = 0; c < args.column_count; c += 2 * kLanes) {
      const auto x = [&](int64_t k) { return static_cast<double>(args.rows[k * kRowPanel + r]); };
      const auto w = [&](int64_t k, int v) { return Vector::Load(args.columns + k * kColumnPanel + c + v * kLanes); };
      SumCut<Vector>(args.depth, cuts, x, w, parts + c, kColumnPanel);
    }
    const float* starts = args.starts == nullptr ? nullptr : args.starts + r * kColumnPanel;
    FinishBins(args.constants, parts, cuts.bins, kColumnPanel, args.column_count, starts, args.out + r * kColumnPanel);
  }
}

template <class Vector>
void RunBinnedDirect(const DirectArgs& args) {
  constexpr int kLanes = sizeof(typename Vector::V) / sizeof(double), kStride = 2 * kLanes;
  Extent weights, values;
  for (int64_t k = 0; k < args.depth; ++k) {
    weights.Add(args.weights + k, 1);
    values.Add(args.plane + args.offsets[k], static_cast<int>(args.count));
  }
  const Cuts cuts(weights, values, args.depth);
  for (int64_t q = 0; q < args.count; q += kStride) {
    double parts[kMostBins * kStride];
    const auto x = [&](int64_t k) { return static_cast<double>(args.weights[k]); };
    const auto w = [&](int64_t k, int v) { return Vector::Load(args.plane + args.offsets[k] + q + v * kLanes); };
    SumCut<Vector>(args.depth, cuts, x, w, parts, kStride);
    const int count = static_cast<int>(args.count - q < kStride ? args.count - q : kStride);
    const float* starts = args.starts == nullptr ? nullptr : args.starts + q;
    FinishBins(args.constants, parts, cuts.bins, kStride, count, starts, args.out + q);
  }
}

template <class Vector>
TileKernels MakeBinnedKernels(CpuPath path) {
  TileKernels kernels{path, FpMode::kNearest, {}, {}, {}};
  kernels.tile[0] = RunBinnedTile<Vector>;
  kernels.direct[0] = RunBinnedDirect<Vector>;
  return kernels;
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_KULISCH_BINNED_KERNEL_H_
