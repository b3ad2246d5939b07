// The largest magnitudes that unquantized chains reach, in double, in the order of the definition: those of a tile, or
// of one filter at the positions of planes. Include it only from files that are compiled for one instruction set.
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

// Vectors of numbers, and of their bits.
template <class NumberType, class BitType, int kBytes>
struct NumberVectors {
  using Number = NumberType;
  static constexpr BitType kMagnitude = std::numeric_limits<BitType>::max();
  typedef Number V __attribute__((vector_size(kBytes)));
  typedef BitType Bits __attribute__((vector_size(kBytes)));

  static V Magnitude(V value) { return reinterpret_cast<V>(reinterpret_cast<Bits>(value) & kMagnitude); }
};

// Of double. Products of float32 values are exact in double, so that a fused multiply-add rounds as a multiplication
// and an addition do.
struct Doubles2 : NumberVectors<double, int64_t, 16> {
  static V MultiplyAdd(V w, double x, V sum) { return sum + w * x; }
  // The larger of the two; the second where the first is NaN.
  static V Larger(V magnitude, V largest) { return magnitude > largest ? magnitude : largest; }
  // The larger of the magnitude of `value` and `largest`; `largest` where value is NaN.
  static V Largest(V value, V largest) { return Larger(Magnitude(value), largest); }
};
#if defined(__AVX2__)
struct Doubles4 : NumberVectors<double, int64_t, 32> {
  static V MultiplyAdd(V w, double x, V sum) { return _mm256_fmadd_pd(w, _mm256_set1_pd(x), sum); }
  static V Larger(V magnitude, V largest) { return _mm256_max_pd(magnitude, largest); }
  static V Largest(V value, V largest) { return Larger(Magnitude(value), largest); }
};
#endif
#if defined(__AVX512DQ__)
struct Doubles8 : NumberVectors<double, int64_t, 64> {
  static V MultiplyAdd(V w, double x, V sum) { return _mm512_fmadd_pd(w, _mm512_set1_pd(x), sum); }
  static V Larger(V magnitude, V largest) { return _mm512_max_pd(magnitude, largest); }
  static V Largest(V value, V largest) {
    constexpr int kLargerMagnitude = 3, kWithoutSign = 2 << 2;
    return _mm512_range_pd(value, largest, kLargerMagnitude | kWithoutSign);
  }
};
#endif

// Vectors of float, likewise.
struct Floats4 : NumberVectors<float, int32_t, 16> {
  static V MultiplyAdd(V w, float x, V sum) { return sum + w * x; }
  static V Largest(V value, V largest) {
    const V magnitude = Magnitude(value);
    return magnitude > largest ? magnitude : largest;
  }
};
#if defined(__AVX2__)
struct Floats8 : NumberVectors<float, int32_t, 32> {
  static V MultiplyAdd(V w, float x, V sum) { return _mm256_fmadd_ps(w, _mm256_set1_ps(x), sum); }
  static V Largest(V value, V largest) { return _mm256_max_ps(Magnitude(value), largest); }
};
#endif
#if defined(__AVX512DQ__)
struct Floats16 : NumberVectors<float, int32_t, 64> {
  static V MultiplyAdd(V w, float x, V sum) { return _mm512_fmadd_ps(w, _mm512_set1_ps(x), sum); }
  static V Largest(V value, V largest) {
    constexpr int kLargerMagnitude = 3, kWithoutSign = 2 << 2;
    return _mm512_range_ps(value, largest, kLargerMagnitude | kWithoutSign);
  }
};
#endif

// A row of a tile against its columns from `column` on.
template <class Number>
struct TileOperands {
  static constexpr bool kHasGaps = false;
  const ExtremesArgs<Number>& args;
  int row, column;

  Number Scalar(int64_t k) const { return args.rows[k * kRowPanel + row]; }
  const Number* Vectors(int64_t k) const { return args.columns + k * kColumnPanel + column; }
  const Number* starts() const { return args.starts == nullptr ? nullptr : args.starts + row * kColumnPanel + column; }
};

// A filter at the positions of planes from `position` on.
struct PlaneOperands {
  static constexpr bool kHasGaps = true;
  const PlaneExtremesArgs& args;
  int64_t position;

  double Scalar(int64_t k) const { return args.weights[k]; }
  const double* Vectors(int64_t k) const { return args.planes + args.offsets[k] + position; }
  const double* starts() const { return args.starts == nullptr ? nullptr : args.starts + position; }
  const int64_t* masks() const { return args.masks + position; }
};

// Dot products of a scalar at each depth with kVectors vectors. Infinite sums are counted only if kCountsInfinity;
// leaving them out costs time.
template <class Numbers, bool kCountsInfinity, class Operands>
struct ExtremeSums {
  using Number = typename Numbers::Number;
  using V = typename Numbers::V;
  using Bits = typename Numbers::Bits;
  static constexpr int kLanes = sizeof(V) / sizeof(Number);
  // Chains side by side hide the latency of the additions.
  static constexpr int kVectors = kColumnPanel / kLanes < 4 ? kColumnPanel / kLanes : 4;
  static constexpr int kWidth = kVectors * kLanes;

  V largest[kMaxSums][kVectors];  // magnitudes so far

  ExtremeSums() {
    for (V(&sum)[kVectors] : largest) std::fill_n(sum, kVectors, V{});
  }

  // `mask`: which bits of a value count.
  static void Raise(const V& value, const Bits& mask, V* known) {
    if constexpr (kCountsInfinity && !Operands::kHasGaps) {
      *known = Numbers::Largest(value, *known);
    } else {
      const V magnitude = reinterpret_cast<V>(reinterpret_cast<Bits>(value) & mask);
      if constexpr (kCountsInfinity) {
        *known = Numbers::Larger(magnitude, *known);
      } else {
        *known = Numbers::Larger(magnitude <= std::numeric_limits<Number>::max() ? magnitude : V{}, *known);
      }
    }
  }

  static void AddTo(V (&sums)[kVectors], const V (&ended)[kVectors], const Bits (&masks)[kVectors],
                    V (&known)[kVectors]) {
    for (int v = 0; v < kVectors; ++v) {
      sums[v] += ended[v];
      Raise(sums[v], masks[v], &known[v]);
    }
  }

  static void Load(const Number* starts, V (&sums)[kVectors]) {
    if (starts == nullptr) {
      std::fill_n(sums, kVectors, V{});
    } else {
      std::memcpy(&sums, starts, sizeof sums);
    }
  }

  static void LoadMasks(const Operands& operands, Bits (&masks)[kVectors]) {
    if constexpr (Operands::kHasGaps) {
      std::memcpy(&masks, operands.masks(), sizeof masks);
    } else {
      for (Bits& mask : masks) mask = Bits{} + Numbers::kMagnitude;
    }
  }

  void Follow(const Operands& operands, int64_t depth, const SumGroups& groups, int started_sum) {
    const auto start = [&](int n, V(&sums)[kVectors]) { Load(started_sum == n ? operands.starts() : nullptr, sums); };
    V outer[kMaxSums][kVectors], first_largest[kVectors];  // outer[0] is not used
    for (int n = 1; n <= groups.count; ++n) start(n, outer[n]);
    Bits masks[kVectors];
    LoadMasks(operands, masks);
    std::copy_n(largest[0], kVectors, first_largest);
    for (int64_t begin = 0, end = 0; begin < depth; begin = end) {
      end = groups.RunEnd(begin, depth);
      V sums[kVectors];
      start(0, sums);
      for (int64_t k = begin; k < end; ++k) {
        const Number x = operands.Scalar(k);
        const Number* vectors = operands.Vectors(k);
#pragma GCC unroll 4
        for (int v = 0; v < kVectors; ++v) {
          V w;
          std::memcpy(&w, vectors + v * kLanes, sizeof w);
          sums[v] = Numbers::MultiplyAdd(w, x, sums[v]);
          Raise(sums[v], masks[v], &first_largest[v]);
        }
      }
      if (groups.count == 0) continue;
      AddTo(outer[1], sums, masks, largest[1]);
      for (int n = 1; n < groups.count && groups.Ends(n, end, depth); ++n) {
        AddTo(outer[n + 1], outer[n], masks, largest[n + 1]);
        std::fill_n(outer[n], kVectors, V{});
      }
    }
    std::copy_n(first_largest, kVectors, largest[0]);
  }

  Extremes Reduced() const {
    Extremes extremes;
    for (int n = 0; n < kMaxSums; ++n) {
      for (int v = 0; v < kVectors; ++v) {
        for (int lane = 0; lane < kLanes; ++lane) extremes.Raise(n + 1, largest[n][v][lane]);
      }
    }
    return extremes;
  }
};

template <class Numbers, bool kCountsInfinity>
Extremes SumsOf(const ExtremesArgs<typename Numbers::Number>& args) {
  using Sums = ExtremeSums<Numbers, kCountsInfinity, TileOperands<typename Numbers::Number>>;
  static_assert(kColumnPanel % Sums::kWidth == 0, "vectors may not pass the panel");
  Sums sums;
  for (int row = 0; row < args.row_count; ++row) {
    for (int column = 0; column < args.column_count; column += Sums::kWidth) {
      sums.Follow({args, row, column}, args.depth, args.groups, args.started_sum);
    }
  }
  return sums.Reduced();
}

template <class Doubles, bool kCountsInfinity>
Extremes SumsOf(const PlaneExtremesArgs& args) {
  using Sums = ExtremeSums<Doubles, kCountsInfinity, PlaneOperands>;
  static_assert(kPlaneTail % Sums::kWidth == 0, "vectors may not pass the tail");
  Sums sums;
  for (int64_t position = 0; position < args.positions; position += Sums::kWidth) {
    sums.Follow({args, position}, args.depth, args.groups, args.started_sum);
  }
  return sums.Reduced();
}

template <class Doubles, class Args>
Extremes LargestSums(const Args& args) {
  const Extremes extremes = SumsOf<Doubles, true>(args);
  return extremes.is_finite() ? extremes : SumsOf<Doubles, false>(args);
}

template <class Floats>
Extremes LargestFloatSums(const ExtremesArgs<float>& args) {
  return SumsOf<Floats, true>(args);
}

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_EXTREMES_KERNEL_H_
