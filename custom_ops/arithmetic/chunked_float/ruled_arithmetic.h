// The steps of ruled_definition.h on vectors of double, in the default environment, for every rounding but the
// stochastic one (ruled_stochastic.h). Good for finite operands.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_ARITHMETIC_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_ARITHMETIC_H_

#include "arithmetic/chunked_float/ruled_vectors.h"
#include "kernels/cpu/tile_kernel.h"

namespace lba {
namespace {  // each instruction set has its own copy

// To multiples of a unit, by every rule but that of the nearest with ties to even.
template <int kLanes>
class OtherRounding {
 public:
  using D = DoublesOf<kLanes>;
  using V = typename D::V;
  using Bits = typename D::Bits;

  explicit OtherRounding(Rounding rounding)
      : least_part_(D::Set(rounding == Rounding::kNearestAway ? 0.5 : kNever)),
        is_odd_(Bits{} - (rounding == Rounding::kOdd ? 1 : 0)) {}

  V operator()(V magnitude, V unit) const {
    const V lower = LowerMultiple<kLanes>(magnitude, unit), even = LowerMultiple<kLanes>(magnitude, unit * 2);
    const Bits is_even = (lower == even) & (lower != magnitude);
    const Bits rises = (magnitude - lower >= unit * least_part_) | (is_odd_ & is_even);
    return lower + reinterpret_cast<V>(D::BitsOf(unit) & rises);
  }

 private:
  static constexpr double kNever = 2;  // what is dropped is less than one unit

  V least_part_;
  Bits is_odd_;
};

template <int kLanes>
struct NearestRounding {
  using V = typename DoublesOf<kLanes>::V;
  explicit NearestRounding(Rounding) {}
  V operator()(V magnitude, V unit) const { return NearestMultiple(magnitude, unit); }
};

template <template <int> class RoundingOf, bool kExactProducts, int kVectorLanes>
class RuledArithmetic {
 public:
  using Constants = RuledConstants;
  using D = DoublesOf<kVectorLanes>;
  using V = typename D::V;
  using Half = void;
  static constexpr int kLanes = kVectorLanes, kRows = 1, kVectors = 4, kDirectVectors = 4;
  static constexpr bool kHasSignedZeros = true;

  explicit RuledArithmetic(const Constants& c)
      : rounding_(c.rounding), product_(kExactProducts ? c.accumulator : c.product), accumulator_(c.accumulator) {}

  static V Zero() { return V{}; }
  static V Load(const float* p) { return D::Load(p); }
  template <int kCount>
  void Step(V (&sums)[kCount], const float* x, const V (&w)[kCount]) const {
    const V row = D::Set(*x);
    V products[kCount];
    ForEach<kCount>([&](int v) { products[v] = row * w[v]; });
    if constexpr (!kExactProducts) ForEach<kCount>([&](int v) { products[v] = Rounded(products[v], product_); });
    ForEach<kCount>([&](int v) { sums[v] = Join(sums[v], products[v]); });
  }
  V Join(V total, V sum) const { return Rounded(D::AddToOdd(sum, total), accumulator_); }
  void Store(float* out, V total) const { D::Store(out, total); }

 private:
  V Rounded(V value, const RuledLimits<kLanes>& limits) const {
    const V magnitude = limits.Bounded(D::Magnitude(value));
    return limits.Limited(rounding_(magnitude, limits.Unit(magnitude)), D::SignOf(value));
  }

  const RoundingOf<kLanes> rounding_;
  const RuledLimits<kLanes> product_, accumulator_;
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
