// Chains in IEEE 754's formats that are narrower than float32, in float32 with subnormals kept (docs/design.md, "IEEE
// formats"). An Isa brings what nearest/scaled_arithmetic.h names, and
//   OddMultiplyAdd(a, b, c), OddMultiply(a, b)   to 24 bits: truncated, the last bit set where that is not exact
// A Narrow brings Rounded(v), v to the nearest value of its format, ties to even.
#ifndef LBA_ARITHMETIC_IEEE_NARROW_ARITHMETIC_H_
#define LBA_ARITHMETIC_IEEE_NARROW_ARITHMETIC_H_

#include "arithmetic/ieee/chain_arithmetic.h"

namespace lba {
namespace {  // each instruction set has its own copy

// What both kinds of chains have in common.
template <class Isa, class Narrow>
class NarrowChain {
 public:
  using Constants = RuledConstants;
  using V = typename Isa::V;
  using Half = void;
  static constexpr int kLanes = Isa::kLanes, kVectors = Isa::kVectors;
  static constexpr int kRows = 4;                                       // enough to hide each other's latency
  static constexpr int kDirectVectors = (Isa::kDirectVectors + 1) / 2;  // more would not stay in registers
  static constexpr bool kHasSignedZeros = true;

  explicit NarrowChain(const Constants&) {}

  static V Zero() { return Isa::Zero(); }
  static V Load(const float* p) { return Isa::Load(p); }
  void Store(float* out, V total) const { Isa::Store(out, total); }
};

// Every rounding of a value that was rounded to odd is that of the exact value. In the mode of Isa::OddMultiplyAdd.
template <class Isa, class Narrow>
class FusedNarrow : public NarrowChain<Isa, Narrow> {
 public:
  using NarrowChain<Isa, Narrow>::NarrowChain;
  using V = typename Isa::V;

  template <int kCount>
  void Step(V (&sums)[kCount], const float* x, const V (&w)[kCount]) const {
    const V row = Isa::Set(*x);
    ForEach<kCount>([&](int v) { sums[v] = Isa::OddMultiplyAdd(row, w[v], sums[v]); });
    ForEach<kCount>([&](int v) { sums[v] = Narrow::Rounded(sums[v]); });
  }
  V Join(V total, V sum) const { return Narrow::Rounded(Isa::OddMultiplyAdd(sum, Isa::Set(1), total)); }
};

// Under FpMode::kNearest.
template <class Isa, class Narrow, bool kHasShortProducts>
class RoundedNarrow : public NarrowChain<Isa, Narrow> {
 public:
  using NarrowChain<Isa, Narrow>::NarrowChain;
  using V = typename Isa::V;

  template <int kCount>
  void Step(V (&sums)[kCount], const float* x, const V (&w)[kCount]) const {
    V products[kCount];
    if constexpr (kHasShortProducts) {
      ForEach<kCount>([&](int v) { products[v] = Isa::BroadcastMultiply(x, w[v]); });
    } else {
      const V row = Isa::Set(*x);
      ForEach<kCount>([&](int v) { products[v] = Isa::OddMultiply(row, w[v]); });
    }
    ForEach<kCount>([&](int v) { products[v] = Narrow::Rounded(products[v]); });
    ForEach<kCount>([&](int v) { sums[v] = Join(sums[v], products[v]); });
  }
  // float32 has twice the bits of the sums and two more: rounding twice is rounding once.
  V Join(V total, V sum) const { return Narrow::Rounded(Isa::Add(total, sum)); }
};

// The first variant is for products that float32 holds.
template <class Short, class Long>
TileKernels MakeNarrowKernels(CpuPath path) {
  TileKernels kernels = MakeChainKernels<Long>(path);
  kernels.tile[0] = RunTile<Short>;
  kernels.direct[0] = RunDirect<Short>;
  return kernels;
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_IEEE_NARROW_ARITHMETIC_H_
