// Chunked floats on any 64-bit target, in double: a product of two float32 values is exact, a sum rounded to 53 bits
// first. Under FpMode::kTowardZero for truncation, which composes, and FpMode::kNearest for rounding to nearest, where
// ShortCuts::fits_double() says that rounding twice is rounding once. Good for finite operands.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_PORTABLE_ARITHMETIC_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_PORTABLE_ARITHMETIC_H_

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include <algorithm>
#include <cstdint>

#include "arithmetic/chunked_float/short_cuts.h"
#include "kernels/cpu/gate_kernel.h"
#include "kernels/cpu/tile_kernel.h"
#include "kernels/cpu/tree_kernel.h"

namespace lba {
namespace {

typedef double DoublePair __attribute__((vector_size(16)));
typedef int64_t BitsPair __attribute__((vector_size(16)));

template <Rounding kRounding>
class PairQuantizer {
 public:
  explicit PairQuantizer(const QuantizeConstants& format)
      : max_{format.max_value, format.max_value},
        min_{format.min_value, format.min_value},
        power_(static_cast<double>(~format.kept_bits + 1)),
        kept_{static_cast<int64_t>(format.kept_bits), static_cast<int64_t>(format.kept_bits)} {}

  // As RoundedToNearest of definition.h does it, or truncated.
  DoublePair Rounded(DoublePair x) const {
    const BitsPair bits = reinterpret_cast<BitsPair>(x);
    if constexpr (kRounding == Rounding::kTruncate) return reinterpret_cast<DoublePair>(bits & kept_);
    const BitsPair sign_and_exponent = {-0x10000000000000, -0x10000000000000};
    const DoublePair power = reinterpret_cast<DoublePair>(bits & sign_and_exponent) * power_;
    return (x + power) - power;
  }
  DoublePair Saturated(DoublePair x) const { return Larger(Smaller(x, max_), -max_); }
  DoublePair Flushed(DoublePair x) const {
    const BitsPair magnitude = reinterpret_cast<BitsPair>(x) & BitsPair{INT64_MAX, INT64_MAX};
    const BitsPair is_kept = reinterpret_cast<DoublePair>(magnitude) >= min_;
    return reinterpret_cast<DoublePair>(reinterpret_cast<BitsPair>(x) & is_kept);
  }

  BitsPair IsAtMax(DoublePair quantized) const { return (quantized == max_) | (quantized == -max_); }

 private:
#if defined(__SSE2__)
  static DoublePair Smaller(DoublePair a, DoublePair b) { return _mm_min_pd(a, b); }
  static DoublePair Larger(DoublePair a, DoublePair b) { return _mm_max_pd(a, b); }
#else
  static DoublePair Smaller(DoublePair a, DoublePair b) { return a < b ? a : b; }
  static DoublePair Larger(DoublePair a, DoublePair b) { return a > b ? a : b; }
#endif

  DoublePair max_, min_;
  double power_;
  BitsPair kept_;
};

// The steps that a variant leaves out are those that its operands prove unnecessary; here a product never fuses.
template <Rounding kRounding, ProductStep kProduct = ProductStep::kSaturate, bool kSaturatesPartialSum = true>
class PortableArithmetic {
 public:
  using Constants = TileConstants;
  using V = DoublePair;
  using Half = void;
  static constexpr int kLanes = 2, kRows = 2, kVectors = 4, kDirectVectors = 4;

  explicit PortableArithmetic(const TileConstants& c)
      : product_(c.definition.product), accumulator_(c.definition.accumulator) {}

  static V Zero() { return V{0.0, 0.0}; }
  static V Load(const float* p) { return V{p[0], p[1]}; }
  static V Broadcast(const float* p) { return V{*p, *p}; }
  template <int kCount>
  void Step(V (&sums)[kCount], const float* x, const V (&w)[kCount]) const {
    ForEach<kCount>([&](int v) { sums[v] = AddProduct(sums[v], Product(Broadcast(x), w[v])); });
  }
  template <int kCount>
  void Products(const float* x, const V (&w)[kCount], V (&products)[kCount]) const {
    ForEach<kCount>([&](int v) { products[v] = Product(Broadcast(x), w[v]); });
  }
  V Product(V x, V w) const {
    V product = x * w;
    if constexpr (kProduct != ProductStep::kExact) product = product_.Rounded(product);
    if constexpr (kProduct == ProductStep::kSaturate) product = product_.Saturated(product);
    return product_.Flushed(product);
  }
  V AddProducts(V a, V b) const { return Quantized(a + b); }
  V AddSums(V a, V b) const { return Quantized(a + b); }
  V AddProduct(V sum, V product) const { return Quantized(product + sum); }
  uint32_t ProductAtMax(V product) const { return Lanes(product_.IsAtMax(product)); }
  uint32_t SumAtMax(V sum) const { return Lanes(accumulator_.IsAtMax(sum)); }
  static uint32_t Equal(V a, V b) { return Lanes(a == b); }
  static uint32_t NotZero(V sum) { return Lanes(sum != Zero()); }
  V Join(V total, V sum) const {
    return accumulator_.Flushed(accumulator_.Saturated(accumulator_.Rounded(total + sum)));
  }
  void Store(float* out, V total) const {
    out[0] = static_cast<float>(total[0] + 0.0);
    out[1] = static_cast<float>(total[1] + 0.0);
  }

 private:
  static uint32_t Lanes(BitsPair mask) { return (mask[0] & 1) | (mask[1] & 2); }

  V Quantized(V sum) const {
    sum = accumulator_.Rounded(sum);
    if constexpr (kSaturatesPartialSum) sum = accumulator_.Saturated(sum);
    return accumulator_.Flushed(sum);
  }

  PairQuantizer<kRounding> product_, accumulator_;
};

template <class Arithmetic>
void SetPortableKernels(const TileVariant& variant, TileKernels* kernels) {
  kernels->tile[variant.index()] = RunTile<Arithmetic>;
  kernels->direct[variant.index()] = RunDirect<Arithmetic>;
}

// In the order of TileVariant::index(). Without underflow one takes all steps: there the variants are those of scaled
// float32, which saturates by itself.
template <Rounding kRounding>
TileKernels MakePortableKernels(FpMode mode, bool has_underflow) {
  using S = ProductStep;
  using All = PortableArithmetic<kRounding>;
  TileKernels kernels{CpuPath::kPortable, mode, {}, {}, &kGates<All, All>};
  std::fill(kernels.tile, kernels.tile + kMostVariants, RunTile<All>);
  std::fill(kernels.direct, kernels.direct + kMostVariants, RunDirect<All>);
  if (!has_underflow) return kernels;
  SetPortableKernels<PortableArithmetic<kRounding, S::kExact, false>>({S::kExact, false}, &kernels);
  SetPortableKernels<PortableArithmetic<kRounding, S::kExact, true>>({S::kExact, true}, &kernels);
  SetPortableKernels<PortableArithmetic<kRounding, S::kRound, false>>({S::kRound, false}, &kernels);
  SetPortableKernels<PortableArithmetic<kRounding, S::kRound, true>>({S::kRound, true}, &kernels);
  return kernels;
}

template <Rounding kRounding>
const TileKernels& PortableKernels(FpMode mode, const ShortCuts& cuts) {
  using All = PortableArithmetic<kRounding>;
  static const TileKernels chains[] = {MakePortableKernels<kRounding>(mode, false),
                                       MakePortableKernels<kRounding>(mode, true)};
  static const TileKernels trees = MakeTreeKernels<All, All>(CpuPath::kPortable, mode);
  return cuts.order().is_tree ? trees : chains[cuts.has_underflow() ? 1 : 0];
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_PORTABLE_ARITHMETIC_H_
