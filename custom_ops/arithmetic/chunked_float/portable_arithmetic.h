// Chunked floats on any 64-bit target, in double: a product of two float32 values is exact, a sum rounded to 53 bits
// first. Under FpMode::kTowardZero for truncation, which composes, and FpMode::kNearest for rounding to nearest, where
// ShortCuts::fits_double() says that rounding twice is rounding once. Good for finite operands.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_PORTABLE_ARITHMETIC_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_PORTABLE_ARITHMETIC_H_

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

  DoublePair operator()(DoublePair x) const {
    const BitsPair sign_bit = {INT64_MIN, INT64_MIN};
    const BitsPair bits = reinterpret_cast<BitsPair>(x);
    const DoublePair magnitude = Rounded(bits & ~sign_bit);
    const BitsPair is_over = magnitude >= max_;
    const BitsPair is_under = magnitude < min_;
    const BitsPair saturated =
        (reinterpret_cast<BitsPair>(max_) & is_over) | (reinterpret_cast<BitsPair>(magnitude) & ~is_over);
    return reinterpret_cast<DoublePair>((saturated & ~is_under) | (bits & sign_bit));
  }

  BitsPair IsAtMax(DoublePair quantized) const { return (quantized == max_) | (quantized == -max_); }

 private:
  // As RoundedToNearest of definition.h does it, or truncated.
  DoublePair Rounded(BitsPair magnitude) const {
    if constexpr (kRounding == Rounding::kTruncate) return reinterpret_cast<DoublePair>(magnitude & kept_);
    const BitsPair exponent = {0x7ff0000000000000, 0x7ff0000000000000};
    const DoublePair power = reinterpret_cast<DoublePair>(magnitude & exponent) * power_;
    return (reinterpret_cast<DoublePair>(magnitude) + power) - power;
  }

  DoublePair max_, min_;
  double power_;
  BitsPair kept_;
};

template <Rounding kRounding>
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
  V Product(V x, V w) const { return product_(x * w); }
  V AddProducts(V a, V b) const { return accumulator_(a + b); }
  V AddSums(V a, V b) const { return accumulator_(a + b); }
  V AddProduct(V sum, V product) const { return accumulator_(product + sum); }
  uint32_t ProductAtMax(V product) const { return Lanes(product_.IsAtMax(product)); }
  uint32_t SumAtMax(V sum) const { return Lanes(accumulator_.IsAtMax(sum)); }
  static uint32_t Equal(V a, V b) { return Lanes(a == b); }
  static uint32_t NotZero(V sum) { return Lanes(sum != Zero()); }
  V Join(V total, V sum) const { return accumulator_(total + sum); }
  void Store(float* out, V total) const {
    out[0] = static_cast<float>(total[0] + 0.0);
    out[1] = static_cast<float>(total[1] + 0.0);
  }

 private:
  static uint32_t Lanes(BitsPair mask) { return (mask[0] & 1) | (mask[1] & 2); }

  PairQuantizer<kRounding> product_, accumulator_;
};

template <Rounding kRounding>
TileKernels MakePortableKernels(FpMode mode) {
  using Arithmetic = PortableArithmetic<kRounding>;
  TileKernels kernels{CpuPath::kPortable, mode, {}, {}, &kGates<Arithmetic, Arithmetic>};
  std::fill(kernels.tile, kernels.tile + kMostVariants, RunTile<Arithmetic>);
  std::fill(kernels.direct, kernels.direct + kMostVariants, RunDirect<Arithmetic>);
  return kernels;
}

template <Rounding kRounding>
TileKernels MakePortableTreeKernels(FpMode mode) {
  using Arithmetic = PortableArithmetic<kRounding>;
  return MakeTreeKernels<Arithmetic, Arithmetic>(CpuPath::kPortable, mode);
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_PORTABLE_ARITHMETIC_H_
