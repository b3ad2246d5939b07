#include <cmath>
#include <cstring>

#include "arithmetic/ieee/chain_arithmetic.h"
#include "arithmetic/ieee/cpu_kernels.h"

namespace lba {
namespace {

// Four values, and the C library's fused multiply-add.
struct FourFloats {
  typedef float V __attribute__((vector_size(16)));
  using Half = void;
  static constexpr int kLanes = 4, kRows = 2, kVectors = 2, kDirectVectors = 2;

  static V Zero() { return V{}; }
  static V Load(const float* p) { return V{p[0], p[1], p[2], p[3]}; }
  static V Add(V a, V b) { return a + b; }
  static V BroadcastMultiplyAdd(const float* x, V w, V c) {
    for (int i = 0; i < kLanes; ++i) c[i] = std::fma(*x, w[i], c[i]);
    return c;
  }
  static void Store(float* p, V value) { std::memcpy(p, &value, sizeof value); }
};

}  // namespace

const TileKernels& IeeePortableKernels() {
  static const TileKernels float32 = MakeChainKernels<FusedFloat32<FourFloats>>(CpuPath::kPortable);
  return float32;
}

}  // namespace lba
