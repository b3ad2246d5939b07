// Scaled float32 under FpMode::kTowardZeroFlush (docs/design.md, "The scaled float32 kernel"), written once for all
// vector instruction sets. An Isa brings the vector type V, its kLanes, the tile that fills its registers, and
//   Zero, Load, Set (one value), Bits (one mask), Store, And, Add, Multiply, MultiplyAdd(a, b, c) = a * b + c
//   BroadcastMultiply(x, w) = *x * w, BroadcastMultiplyAdd(x, w, c) = *x * w + c
//   Saturate(value, max)     the smaller magnitude with the sign of the value
//   Equal(a, b), AtLeast(value, max)   a bit per lane: equal values; a magnitude of at least max
// and Half, the Isa of vectors of half the length, or void.
#ifndef LBA_ARITHMETIC_TRUNCATE_SCALED_ARITHMETIC_H_
#define LBA_ARITHMETIC_TRUNCATE_SCALED_ARITHMETIC_H_

#include <type_traits>

#include "arithmetic/chunked_float/short_cuts.h"
#include "kernels/cpu/gate_kernel.h"
#include "kernels/cpu/tile_kernel.h"
#include "kernels/cpu/tree_kernel.h"

namespace lba {
namespace {  // each instruction set has its own copy

template <class Isa, ProductStep kProduct, bool kSaturatesPartialSum>
class ScaledArithmetic {
 public:
  using Constants = TileConstants;
  using V = typename Isa::V;
  using Half = std::conditional_t<std::is_void_v<typename Isa::Half>, void,
                                  ScaledArithmetic<typename Isa::Half, kProduct, kSaturatesPartialSum>>;
  static constexpr int kLanes = Isa::kLanes, kRows = Isa::kRows, kVectors = Isa::kVectors;
  static constexpr int kDirectVectors = Isa::kDirectVectors;

  explicit ScaledArithmetic(const TileConstants& c)
      : product_max_(Isa::Set(c.product_max)),
        accumulator_max_(Isa::Set(c.accumulator_max)),
        product_to_accumulator_(Isa::Set(c.product_to_accumulator)),
        product_to_tree_(Isa::Set(c.product_to_tree)),
        tree_to_accumulator_(Isa::Set(c.tree_to_accumulator)),
        product_kept_(Isa::Bits(c.product_kept_bits)),
        accumulator_kept_(Isa::Bits(c.accumulator_kept_bits)),
        unscale0_(Isa::Set(c.unscale[0])),
        unscale1_(Isa::Set(c.unscale[1])) {}

  static V Zero() { return Isa::Zero(); }
  static V Load(const float* p) { return Isa::Load(p); }
  static V Broadcast(const float* p) { return Isa::Set(*p); }

  // Equal operations stand side by side: the processor then overlaps them best.
  template <int kCount>
  void Step(V (&sums)[kCount], const float* x, const V (&w)[kCount]) const {
    if constexpr (kProduct == ProductStep::kFused) {
      ForEach<kCount>([&](int v) { sums[v] = Isa::BroadcastMultiplyAdd(x, w[v], sums[v]); });
    } else {
      V products[kCount];
      Products(x, w, products);
      ForEach<kCount>([&](int v) { sums[v] = Isa::MultiplyAdd(products[v], product_to_accumulator_, sums[v]); });
    }
    ForEach<kCount>([&](int v) { sums[v] = Quantized(sums[v]); });
  }

  template <int kCount>
  void Products(const float* x, const V (&w)[kCount], V (&products)[kCount]) const {
    ForEach<kCount>([&](int v) { products[v] = Isa::BroadcastMultiply(x, w[v]); });
    ForEach<kCount>([&](int v) { products[v] = QuantizedProduct(products[v]); });
  }
  // In a scale in which no difference of two products is flushed that sums can hold; what takes it to that of the sums
  // flushes the rest.
  V AddProducts(V a, V b) const {
    const V sum = Isa::MultiplyAdd(b, product_to_tree_, Isa::Multiply(a, product_to_tree_));
    return Clamped(Isa::Multiply(Isa::And(sum, accumulator_kept_), tree_to_accumulator_));
  }
  V AddSums(V a, V b) const { return Quantized(Isa::Add(a, b)); }

  // The two parts of Step; not for kFused.
  V Product(V x, V w) const { return QuantizedProduct(Isa::Multiply(x, w)); }
  V AddProduct(V sum, V product) const { return Quantized(Isa::MultiplyAdd(product, product_to_accumulator_, sum)); }

  V Join(V total, V sum) const {
    return Isa::Saturate(Isa::And(Isa::Add(total, sum), accumulator_kept_), accumulator_max_);
  }

  // Truncated values reach max_value exactly where the values before did: it is one of the format's.
  uint32_t ProductAtMax(V product) const { return Isa::AtLeast(product, product_max_); }
  uint32_t SumAtMax(V sum) const { return Isa::AtLeast(sum, accumulator_max_); }
  static uint32_t Equal(V a, V b) { return Isa::Equal(a, b); }
  static uint32_t NotZero(V sum) { return ~Isa::Equal(sum, Isa::Zero()) & ((1u << kLanes) - 1); }

  void Store(float* out, V total) const {
    const V value = Isa::Multiply(Isa::Multiply(total, unscale0_), unscale1_);
    Isa::Store(out, Isa::Add(value, Isa::Zero()));  // -0 + 0 = +0
  }

 private:
  V QuantizedProduct(V product) const {
    if constexpr (kProduct != ProductStep::kExact) product = Isa::And(product, product_kept_);
    if constexpr (kProduct == ProductStep::kSaturate) product = Isa::Saturate(product, product_max_);
    return product;
  }
  V Quantized(V sum) const { return Clamped(Isa::And(sum, accumulator_kept_)); }
  V Clamped(V kept) const {
    if constexpr (kSaturatesPartialSum) return Isa::Saturate(kept, accumulator_max_);
    return kept;
  }

  V product_max_, accumulator_max_, product_to_accumulator_, product_to_tree_, tree_to_accumulator_;
  V product_kept_, accumulator_kept_, unscale0_, unscale1_;
};

// The kernels of one instruction set for every variant, in the order of TileVariant::index().
template <class Isa>
TileKernels MakeScaledKernels(CpuPath path) {
  using S = ProductStep;
  // Two are enough to follow a tile a second time. Without underflow, what saturates nothing stops at max_value by
  // itself.
  return {path,
          FpMode::kTowardZeroFlush,
          {RunTile<ScaledArithmetic<Isa, S::kFused, false>>, RunTile<ScaledArithmetic<Isa, S::kFused, true>>,
           RunTile<ScaledArithmetic<Isa, S::kExact, false>>, RunTile<ScaledArithmetic<Isa, S::kExact, true>>,
           RunTile<ScaledArithmetic<Isa, S::kRound, false>>, RunTile<ScaledArithmetic<Isa, S::kRound, true>>,
           RunTile<ScaledArithmetic<Isa, S::kSaturate, false>>, RunTile<ScaledArithmetic<Isa, S::kSaturate, true>>},
          {RunDirect<ScaledArithmetic<Isa, S::kFused, false>>, RunDirect<ScaledArithmetic<Isa, S::kFused, true>>,
           RunDirect<ScaledArithmetic<Isa, S::kExact, false>>, RunDirect<ScaledArithmetic<Isa, S::kExact, true>>,
           RunDirect<ScaledArithmetic<Isa, S::kRound, false>>, RunDirect<ScaledArithmetic<Isa, S::kRound, true>>,
           RunDirect<ScaledArithmetic<Isa, S::kSaturate, false>>, RunDirect<ScaledArithmetic<Isa, S::kSaturate, true>>},
          &kGates<ScaledArithmetic<Isa, S::kRound, false>, ScaledArithmetic<Isa, S::kSaturate, true>>};
}

// Of trees: one that saturates nothing inside them, and one that does.
template <class Isa>
TileKernels MakeScaledTreeKernels(CpuPath path) {
  using Light = ScaledArithmetic<Isa, ProductStep::kRound, false>;
  using Full = ScaledArithmetic<Isa, ProductStep::kSaturate, true>;
  return MakeTreeKernels<Light, Full>(path, FpMode::kTowardZeroFlush);
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_TRUNCATE_SCALED_ARITHMETIC_H_
