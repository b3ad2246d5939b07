// The steps of ruled_definition.h on vectors of double, in the default environment, for every rounding but the
// stochastic one (ruled_stochastic.h). Good for finite operands.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_ARITHMETIC_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_ARITHMETIC_H_

#include <type_traits>

#include "arithmetic/chunked_float/ruled_vectors.h"
#include "kernels/cpu/tree_kernel.h"

namespace lba {
namespace {  // each instruction set has its own copy

template <Rounding kRounding, int kLanes>
typename DoublesOf<kLanes>::V RuledMultiple(typename DoublesOf<kLanes>::V magnitude,
                                            typename DoublesOf<kLanes>::V unit) {
  using D = DoublesOf<kLanes>;
  using V = typename D::V;
  if constexpr (kRounding == Rounding::kNearest) return NearestMultiple(magnitude, unit);
  if constexpr (kRounding == Rounding::kTruncate) return LowerMultiple<kLanes>(magnitude, unit);
  if constexpr (kRounding == Rounding::kNearestAway) {
    const V lower = LowerMultiple<kLanes>(magnitude, unit);
    return lower + D::Where(magnitude - lower >= unit * 0.5, unit, V{});
  }
  // Of values that are not exact the odd one lies between two even ones.
  const V even = LowerMultiple<kLanes>(magnitude, unit * 2), lower = LowerMultiple<kLanes>(magnitude, unit);
  return D::Where(lower == magnitude, magnitude, even + unit);
}

template <Rounding kRounding, bool kExactProducts, int kVectorLanes>
class RuledArithmetic {
 public:
  using Constants = RuledConstants;
  using D = DoublesOf<kVectorLanes>;
  using V = typename D::V;
  using Half = void;
  static constexpr int kLanes = kVectorLanes, kRows = 1, kVectors = 4, kDirectVectors = 4;
  static constexpr bool kHasSignedZeros = true;

  explicit RuledArithmetic(const Constants& c)
      : product_(kExactProducts ? c.accumulator : c.product), accumulator_(c.accumulator) {}

  static V Zero() { return V{}; }
  static V Load(const float* p) { return D::Load(p); }
  template <int kCount>
  void Step(V (&sums)[kCount], const float* x, const V (&w)[kCount]) const {
    V products[kCount];
    Products(x, w, products);
    ForEach<kCount>([&](int v) { sums[v] = Join(sums[v], products[v]); });
  }
  template <int kCount>
  void Products(const float* x, const V (&w)[kCount], V (&products)[kCount]) const {
    const V row = D::Set(*x);
    ForEach<kCount>([&](int v) { products[v] = row * w[v]; });
    if constexpr (!kExactProducts) ForEach<kCount>([&](int v) { products[v] = Rounded(products[v], product_); });
  }
  V Join(V total, V sum) const { return Rounded(D::AddToOdd(sum, total), accumulator_); }
  V AddProducts(V a, V b) const { return Join(a, b); }
  V AddProduct(V sum, V product) const { return Join(sum, product); }
  V AddSums(V a, V b) const { return Join(a, b); }
  void Store(float* out, V total) const { D::Store(out, total); }

 private:
  static V Rounded(V value, const RuledLimits<kLanes>& limits) {
    const V magnitude = limits.Bounded(D::Magnitude(value));
    return limits.Limited(RuledMultiple<kRounding, kLanes>(magnitude, limits.Unit(magnitude)), D::SignOf(value));
  }

  const RuledLimits<kLanes> product_, accumulator_;
};

// Trees in fewer vectors, which keep eight products each.
template <Rounding kRounding, bool kExactProducts, int kVectorLanes>
struct RuledTree : RuledArithmetic<kRounding, kExactProducts, kVectorLanes> {
  using RuledArithmetic<kRounding, kExactProducts, kVectorLanes>::RuledArithmetic;
  static constexpr int kVectors = 1, kDirectVectors = 1;
};

template <class Arithmetic>
TileKernels MakeRuledChains() {
  TileKernels kernels{CpuPath::kPortable, FpMode::kNearest, {}, {}, {}};
  std::fill(kernels.tile, kernels.tile + kMostVariants, RunTile<Arithmetic>);
  std::fill(kernels.direct, kernels.direct + kMostVariants, RunDirect<Arithmetic>);
  return kernels;
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_ARITHMETIC_H_
