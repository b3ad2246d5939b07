// Chains of fused multiply-adds in IEEE 754's float32: the processor's own (docs/design.md, "IEEE formats"). For every
// operand, under FpMode::kNearest. An Isa is as truncate/scaled_arithmetic.h has it.
#ifndef LBA_ARITHMETIC_IEEE_CHAIN_ARITHMETIC_H_
#define LBA_ARITHMETIC_IEEE_CHAIN_ARITHMETIC_H_

#include <algorithm>
#include <type_traits>

#include "arithmetic/chunked_float/ruled_definition.h"
#include "kernels/cpu/tile_kernel.h"

namespace lba {
namespace {  // each instruction set has its own copy

template <class Isa>
class FusedFloat32 {
 public:
  using Constants = RuledConstants;
  using V = typename Isa::V;
  using Half = std::conditional_t<std::is_void_v<typename Isa::Half>, void, FusedFloat32<typename Isa::Half>>;
  static constexpr int kLanes = Isa::kLanes, kRows = Isa::kRows, kVectors = Isa::kVectors;
  static constexpr int kDirectVectors = Isa::kDirectVectors;
  static constexpr bool kHasSignedZeros = true;

  explicit FusedFloat32(const Constants&) {}

  static V Zero() { return Isa::Zero(); }
  static V Load(const float* p) { return Isa::Load(p); }
  template <int kCount>
  void Step(V (&sums)[kCount], const float* x, const V (&w)[kCount]) const {
    ForEach<kCount>([&](int v) { sums[v] = Isa::BroadcastMultiplyAdd(x, w[v], sums[v]); });
  }
  V Join(V total, V sum) const { return Isa::Add(total, sum); }
  void Store(float* out, V total) const { Isa::Store(out, total); }
};

// One kernel for every variant.
template <class Arithmetic>
TileKernels MakeChainKernels(CpuPath path, FpMode mode = FpMode::kNearest) {
  TileKernels kernels{path, mode, {}, {}, {}};
  std::fill(kernels.tile, kernels.tile + kMostVariants, RunTile<Arithmetic>);
  std::fill(kernels.direct, kernels.direct + kMostVariants, RunDirect<Arithmetic>);
  return kernels;
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_IEEE_CHAIN_ARITHMETIC_H_
