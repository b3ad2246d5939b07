// One value at a time through lba/fmaq.h: any operand, NaN and infinity included.
#include "cpu/gate_kernel.h"
#include "cpu/gradient_kernel.h"
#include "cpu/tile_kernel.h"

namespace lba {
namespace {

class Exact {
 public:
  using V = double;
  using Half = void;
  static constexpr int kLanes = 1, kRows = 1, kVectors = 1, kDirectVectors = 1;

  explicit Exact(const TileConstants& c) : product_(c.product), accumulator_(c.accumulator) {}

  static V Zero() { return 0.0; }
  static V Load(const float* p) { return *p; }
  static V Broadcast(const float* p) { return *p; }
  V Step(V sum, V x, V w) const { return AddProduct(sum, Product(x, w)); }
  V Product(V x, V w) const { return Quantize(x * w, product_); }
  V AddProduct(V sum, V product) const { return QuantizedSum(product, sum, accumulator_); }
  uint32_t ProductAtMax(V product) const { return std::fabs(product) == product_.max_value; }
  uint32_t SumAtMax(V sum) const { return std::fabs(sum) == accumulator_.max_value; }
  static uint32_t Equal(V a, V b) { return a == b; }
  static uint32_t NotZero(V sum) { return sum != 0; }
  V Join(V total, V sum) const { return QuantizedSum(sum, total, accumulator_); }
  void Store(float* out, V total) const { *out = static_cast<float>(total + 0.0); }

 private:
  QuantizeConstants product_, accumulator_;
};

}  // namespace

const TileKernels& ExactKernels() {
  static const TileKernels kernels = MakeDoubleKernels<Exact>(CpuPath::kExact, FpMode::kNearest);
  return kernels;
}

const GateKernels& ExactGateKernels() {
  static const GateKernels kernels = MakeGateKernels<Exact, Exact>(TileGradients<PortableVectors>);
  return kernels;
}

}  // namespace lba
