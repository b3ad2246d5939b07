// Rounding to nearest even in scaled float32 under FpMode::kNearestFlush, written once for all vector instruction sets
// (docs/design.md, "Rounding to nearest"). An Isa brings what truncate/scaled_arithmetic.h names, and
//   Subtract, NegativeMultiplyAdd(a, b, c) = c - a * b, AddBits (as integers)
#ifndef LBA_ARITHMETIC_NEAREST_SCALED_ARITHMETIC_H_
#define LBA_ARITHMETIC_NEAREST_SCALED_ARITHMETIC_H_

#include <cmath>
#include <type_traits>

#include "arithmetic/chunked_float/short_cuts.h"
#include "kernels/cpu/gate_kernel.h"
#include "kernels/cpu/tile_kernel.h"
#include "kernels/cpu/tree_kernel.h"

namespace lba {
namespace {  // each instruction set has its own copy

// What takes the power of two of a sum to the one that rounds it, times this scale, to the accumulator's bits.
inline uint32_t RescaledShift(const TileConstants& c, float scale) {
  return c.accumulator_shift + static_cast<uint32_t>(std::ilogb(scale));
}

// A value t rounds to m bits where a power of two 2^(23 - m) times its own, c, is added: the last bit of float32's sum
// is the last one kept. t + c rounds once, and - c is exact, so that its flush is the format's underflow.
template <class Isa, ProductStep kProduct, bool kSaturatesPartialSum, SumStep kSum>
class NearestArithmetic {
 public:
  using Constants = TileConstants;
  using V = typename Isa::V;
  using Half = std::conditional_t<std::is_void_v<typename Isa::Half>, void,
                                  NearestArithmetic<typename Isa::Half, kProduct, kSaturatesPartialSum, kSum>>;
  static constexpr int kLanes = Isa::kLanes, kVectors = Isa::kVectors;
  static constexpr int kRows = 4;                                       // enough to hide each other's latency
  static constexpr int kDirectVectors = (Isa::kDirectVectors + 1) / 2;  // more would not stay in registers

  explicit NearestArithmetic(const TileConstants& c)
      : product_max_(Isa::Set(c.product_max)),
        accumulator_max_(Isa::Set(c.accumulator_max)),
        product_to_accumulator_(Isa::Set(c.product_to_accumulator)),
        product_shift_(Isa::Bits(c.product_shift << 23)),
        accumulator_shift_(Isa::Bits(c.accumulator_shift << 23)),
        accumulator_power_(Isa::Set(static_cast<float>(1u << c.accumulator_shift))),
        accumulator_to_product_(Isa::Set(c.accumulator_to_product)),
        rescaled_shift_(Isa::Bits(RescaledShift(c, c.product_to_accumulator) << 23)),
        power_bits_(Isa::Bits(0xff800000u)),
        unscale0_(Isa::Set(c.unscale[0])),
        unscale1_(Isa::Set(c.unscale[1])) {}

  static V Zero() { return Isa::Zero(); }
  static V Load(const float* p) { return Isa::Load(p); }
  static V Broadcast(const float* p) { return Isa::Set(*p); }

  // Equal operations stand side by side: the processor then overlaps them best.
  template <int kCount>
  void Step(V (&sums)[kCount], const float* x, const V (&w)[kCount]) const {
    if constexpr (kProduct == ProductStep::kFused) {
      if constexpr (kSum == SumStep::kRescaled) {
        ForEach<kCount>([&](int v) { sums[v] = Isa::Multiply(sums[v], accumulator_to_product_); });
      }
      ForEach<kCount>([&](int v) { sums[v] = Isa::BroadcastMultiplyAdd(x, w[v], sums[v]); });
    } else {
      V products[kCount];
      Products(x, w, products);
      ForEach<kCount>([&](int v) { sums[v] = Joined(sums[v], products[v]); });
    }
    RoundSums(sums);
    if constexpr (kSaturatesPartialSum) Saturate(accumulator_max_, sums);
  }

  // x * w is exact inside the fused operation. Its own power of two is that of the product, or, where x * w itself
  // rounds up to a power, of what both round to.
  template <int kCount>
  void Products(const float* x, const V (&w)[kCount], V (&products)[kCount]) const {
    if constexpr (kProduct == ProductStep::kExact) {
      ForEach<kCount>([&](int v) { products[v] = Isa::BroadcastMultiply(x, w[v]); });
    } else {
      V powers[kCount];
      ForEach<kCount>([&](int v) { powers[v] = Isa::BroadcastMultiply(x, Isa::AddBits(w[v], product_shift_)); });
      ForEach<kCount>([&](int v) { powers[v] = Isa::And(powers[v], power_bits_); });
      ForEach<kCount>([&](int v) { products[v] = Isa::BroadcastMultiplyAdd(x, w[v], powers[v]); });
      ForEach<kCount>([&](int v) { products[v] = Isa::Subtract(products[v], powers[v]); });
    }
    if constexpr (kProduct == ProductStep::kSaturate) Saturate(product_max_, products);
  }
  V AddSums(V a, V b) const {
    V sums[1] = {Isa::Add(a, b)};
    Round(sums);
    if constexpr (kSaturatesPartialSum) Saturate(accumulator_max_, sums);
    return sums[0];
  }

  // The two parts of Step; not for kFused.
  V Product(V x, V w) const {
    V product = Isa::Multiply(x, w);
    if constexpr (kProduct != ProductStep::kExact) {
      const V power = Isa::And(Isa::Multiply(x, Isa::AddBits(w, product_shift_)), power_bits_);
      product = Isa::Subtract(Isa::MultiplyAdd(x, w, power), power);
    }
    if constexpr (kProduct == ProductStep::kSaturate) product = Isa::Saturate(product, product_max_);
    return product;
  }
  V AddProduct(V sum, V product) const {
    V sums[1] = {Joined(sum, product)};
    RoundSums(sums);
    if constexpr (kSaturatesPartialSum) Saturate(accumulator_max_, sums);
    return sums[0];
  }

  V Join(V total, V sum) const {
    V totals[1] = {Isa::Add(total, sum)};
    Round(totals);
    Saturate(accumulator_max_, totals);
    return totals[0];
  }

  uint32_t ProductAtMax(V product) const { return Isa::AtLeast(product, product_max_); }
  uint32_t SumAtMax(V sum) const { return Isa::AtLeast(sum, accumulator_max_); }
  static uint32_t Equal(V a, V b) { return Isa::Equal(a, b); }
  static uint32_t NotZero(V sum) { return ~Isa::Equal(sum, Isa::Zero()) & ((1u << kLanes) - 1); }

  void Store(float* out, V total) const {
    const V value = Isa::Multiply(Isa::Multiply(total, unscale0_), unscale1_);
    Isa::Store(out, Isa::Add(value, Isa::Zero()));  // -0 + 0 = +0
  }

 protected:
  // As AddProduct where ShortCuts::sum_step() is kRescaled.
  V AddProductRescaled(V sum, V product) const {
    V sums[1] = {Isa::MultiplyAdd(sum, accumulator_to_product_, product)};
    RoundRescaled(product_to_accumulator_, rescaled_shift_, sums);
    if constexpr (kSaturatesPartialSum) Saturate(accumulator_max_, sums);
    return sums[0];
  }

  // Sums in another scale: the power of two is that of the sums' own scale, to which the rounding takes the sum back. A
  // sum of zero has a tiny one, and is zero again.
  template <int kCount>
  static void RoundRescaled(V scale, V shift, V (&sums)[kCount]) {
    V powers[kCount], shifted[kCount];
    ForEach<kCount>([&](int v) { powers[v] = Isa::AddBits(Isa::And(sums[v], Isa::Bits(0xff800000u)), shift); });
    ForEach<kCount>([&](int v) { shifted[v] = Isa::MultiplyAdd(sums[v], scale, powers[v]); });
    ForEach<kCount>([&](int v) { sums[v] = Isa::Subtract(shifted[v], powers[v]); });
  }

 private:
  // The power of two is added by an FMA, or multiplied by adding to its exponent. Processors multiply and add in
  // different units: where the product is not rounded, doing every other vector the second way keeps both kinds busy.
  static constexpr bool kHalfByAdding =
      (kProduct == ProductStep::kFused || kProduct == ProductStep::kExact) && !kSaturatesPartialSum;
  static constexpr bool IsByAdding(int v) { return kHalfByAdding && v % 2 == 1; }

  template <int kCount>
  static void Saturate(V max, V (&values)[kCount]) {
    ForEach<kCount>([&](int v) { values[v] = Isa::Saturate(values[v], max); });
  }

  // In the scale of the products where sums are rescaled, else in that of the sums.
  V Joined(V sum, V product) const {
    if constexpr (kSum == SumStep::kScaled) return Isa::MultiplyAdd(product, product_to_accumulator_, sum);
    if constexpr (kSum == SumStep::kRescaled) return Isa::MultiplyAdd(sum, accumulator_to_product_, product);
    return Isa::Add(product, sum);
  }

  template <int kCount>
  void RoundSums(V (&sums)[kCount]) const {
    if constexpr (kSum == SumStep::kRescaled) return RoundRescaled(product_to_accumulator_, rescaled_shift_, sums);
    Round(sums);
  }

  // To the accumulator's mantissa; the subtraction is exact, and flushes what is then below min_value.
  template <int kCount>
  void Round(V (&values)[kCount]) const {
    V powers[kCount], shifted[kCount];
    ForEach<kCount>([&](int v) { powers[v] = Isa::And(values[v], power_bits_); });
    ForEach<kCount>([&](int v) {
      if (IsByAdding(v)) powers[v] = Isa::AddBits(powers[v], accumulator_shift_);
      shifted[v] =
          IsByAdding(v) ? Isa::Add(values[v], powers[v]) : Isa::MultiplyAdd(powers[v], accumulator_power_, values[v]);
    });
    ForEach<kCount>([&](int v) {
      values[v] = IsByAdding(v) ? Isa::Subtract(shifted[v], powers[v])
                                : Isa::NegativeMultiplyAdd(powers[v], accumulator_power_, shifted[v]);
    });
  }

  V product_max_, accumulator_max_, product_to_accumulator_, product_shift_, accumulator_shift_, accumulator_power_;
  V accumulator_to_product_, rescaled_shift_, power_bits_, unscale0_, unscale1_;
};

// In an adder tree nearly all sums are of two products or of two sums, which need not tell where min_value of one lies
// beside that of the other; a lone product joins a sum as `rescales_sums` says.
template <class Isa, ProductStep kProduct, bool kSaturatesPartialSum>
class NearestTreeArithmetic : public NearestArithmetic<Isa, kProduct, kSaturatesPartialSum, SumStep::kScaled> {
  using Base = NearestArithmetic<Isa, kProduct, kSaturatesPartialSum, SumStep::kScaled>;

 public:
  using V = typename Base::V;
  using Half = std::conditional_t<std::is_void_v<typename Isa::Half>, void,
                                  NearestTreeArithmetic<typename Isa::Half, kProduct, kSaturatesPartialSum>>;

  explicit NearestTreeArithmetic(const TileConstants& c)
      : Base(c),
        product_to_tree_(Isa::Set(c.product_to_tree)),
        tree_to_accumulator_(Isa::Set(c.tree_to_accumulator)),
        tree_shift_(Isa::Bits(RescaledShift(c, c.tree_to_accumulator) << 23)),
        accumulator_max_(Isa::Set(c.accumulator_max)),
        rescales_sums_(c.rescales_sums) {}

  V AddProducts(V a, V b) const {
    V sums[1] = {Isa::MultiplyAdd(b, product_to_tree_, Isa::Multiply(a, product_to_tree_))};
    Base::RoundRescaled(tree_to_accumulator_, tree_shift_, sums);
    return kSaturatesPartialSum ? Isa::Saturate(sums[0], accumulator_max_) : sums[0];
  }

  V AddProduct(V sum, V product) const {
    return rescales_sums_ ? Base::AddProductRescaled(sum, product) : Base::AddProduct(sum, product);
  }

 private:
  V product_to_tree_, tree_to_accumulator_, tree_shift_, accumulator_max_;
  const bool rescales_sums_;
};

template <class Isa>
TileKernels MakeNearestTreeKernels(CpuPath path) {
  using Light = NearestTreeArithmetic<Isa, ProductStep::kRound, false>;
  using Full = NearestTreeArithmetic<Isa, ProductStep::kSaturate, true>;
  return MakeTreeKernels<Light, Full>(path, FpMode::kNearestFlush);
}

// The kernels of one instruction set for every variant, in the order of TileVariant::index(). What takes more steps
// than are needed stands in for the rarer variants.
template <class Isa, SumStep kSum>
TileKernels MakeNearestKernels(CpuPath path) {
  using Fused = NearestArithmetic<Isa, ProductStep::kFused, false, kSum>;
  using FusedSaturate = NearestArithmetic<Isa, ProductStep::kFused, true, kSum>;
  using Exact = NearestArithmetic<Isa, ProductStep::kExact, false, kSum>;
  using Round = NearestArithmetic<Isa, ProductStep::kRound, false, kSum>;
  using RoundSaturate = NearestArithmetic<Isa, ProductStep::kRound, true, kSum>;
  using Saturate = NearestArithmetic<Isa, ProductStep::kSaturate, true, kSum>;
  return {path,
          FpMode::kNearestFlush,
          {RunTile<Fused>, RunTile<FusedSaturate>, RunTile<Exact>, RunTile<RoundSaturate>, RunTile<Round>,
           RunTile<RoundSaturate>, RunTile<Saturate>, RunTile<Saturate>},
          {RunDirect<Fused>, RunDirect<FusedSaturate>, RunDirect<Exact>, RunDirect<RoundSaturate>, RunDirect<Round>,
           RunDirect<RoundSaturate>, RunDirect<Saturate>, RunDirect<Saturate>},
          &kGates<Round, Saturate>};
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_NEAREST_SCALED_ARITHMETIC_H_
