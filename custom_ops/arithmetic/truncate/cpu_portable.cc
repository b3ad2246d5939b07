// Any 64-bit target: double under FpMode::kTowardZero. A product of two float32 values is exact in double; a sum is
// truncated to 53 bits, and truncation composes. Good for finite operands and every legal format.
#include <algorithm>
#include <cstdint>

#include "arithmetic/truncate/cpu_kernels.h"
#include "arithmetic/truncate/short_cuts.h"
#include "kernels/cpu/gate_kernel.h"
#include "kernels/cpu/tile_kernel.h"

namespace lba {
namespace {

typedef double DoublePair __attribute__((vector_size(16)));
typedef int64_t BitsPair __attribute__((vector_size(16)));

class PairQuantizer {
 public:
  explicit PairQuantizer(const QuantizeConstants& format)
      : max_{format.max_value, format.max_value},
        min_{format.min_value, format.min_value},
        kept_{static_cast<int64_t>(format.kept_bits), static_cast<int64_t>(format.kept_bits)} {}

  DoublePair operator()(DoublePair x) const {
    const BitsPair sign_bit = {INT64_MIN, INT64_MIN};
    const BitsPair bits = reinterpret_cast<BitsPair>(x);
    const BitsPair sign = bits & sign_bit;
    const DoublePair magnitude = reinterpret_cast<DoublePair>(bits & ~sign_bit & kept_);
    const BitsPair is_over = magnitude >= max_;
    const BitsPair is_under = magnitude < min_;
    const BitsPair saturated =
        (reinterpret_cast<BitsPair>(max_) & is_over) | (reinterpret_cast<BitsPair>(magnitude) & ~is_over);
    return reinterpret_cast<DoublePair>((saturated & ~is_under) | sign);
  }

  BitsPair IsAtMax(DoublePair quantized) const { return (quantized == max_) | (quantized == -max_); }

 private:
  DoublePair max_, min_;
  BitsPair kept_;
};

class Portable {
 public:
  using Constants = TileConstants;
  using V = DoublePair;
  using Half = void;
  static constexpr int kLanes = 2, kRows = 2, kVectors = 4, kDirectVectors = 4;

  explicit Portable(const TileConstants& c) : product_(c.definition.product), accumulator_(c.definition.accumulator) {}

  static V Zero() { return V{0.0, 0.0}; }
  static V Load(const float* p) { return V{p[0], p[1]}; }
  static V Broadcast(const float* p) { return V{*p, *p}; }
  V Step(V sum, V x, V w) const { return AddProduct(sum, Product(x, w)); }
  V Product(V x, V w) const { return product_(x * w); }
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

  PairQuantizer product_, accumulator_;
};

}  // namespace

const TileKernels& TruncatingPortableKernels() {
  static const TileKernels kernels = [] {
    TileKernels made{CpuPath::kPortable, FpMode::kTowardZero, {}, {}, {}};
    std::fill(made.tile, made.tile + kMostVariants, RunTile<Portable>);
    std::fill(made.direct, made.direct + kMostVariants, RunDirect<Portable>);
    FillGates<Portable, Portable>(&made);
    return made;
  }();
  return kernels;
}

}  // namespace lba
