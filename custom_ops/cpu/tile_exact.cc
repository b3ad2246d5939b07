// One value at a time through lba/fmaq.h: any operand, NaN and infinity included.
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
  V Step(V sum, V x, V w) const { return QuantizedSum(Quantize(x * w, product_), sum, accumulator_); }
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

}  // namespace lba
