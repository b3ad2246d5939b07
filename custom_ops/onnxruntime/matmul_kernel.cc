#include "onnxruntime/host_product.h"
#include "onnxruntime/kernel.h"
#include "onnxruntime/matmul_shape.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

class MatMulKernel : public Kernel {
 public:
  explicit MatMulKernel(const Node& node) : statistics_(ReadStatistics(node.attributes())), b_(node, 1) {
    const SharedAccumulator accumulator = ReadAccumulator(node.attributes());
    MatMulOutput(node.InputShape(0), node.InputShape(1));
    const bool is_constant = b_.constant() != nullptr;
    const StridedMatMul constant = is_constant ? ConstantMatMulB(b_.dimensions()) : StridedMatMul{};
    product_ = MakeHostMatMul(node.place(), accumulator, constant, b_.constant());
  }

  void Compute(const Call& call) const override {
    const Tensor a = call.Input(0);
    const Tensor b = call.Input(1);
    RequireRank(a);
    RequireRank(b);
    const std::vector<int64_t> dimensions =
        KnownDimensions(MatMulOutput(KnownShape(a.dimensions), KnownShape(b.dimensions)));
    const FloatOutput y(call, a.type, dimensions);
    if (y.count() == 0) return;
    const StridedMatMul shape = FullMatMul(a.dimensions, b.dimensions, dimensions);
    const Floats a_values(a);
    const Floats b_values = b_.Of(b);
    product_->Compute(shape, a_values.data(), b_values.data(), y.data(), SessionParallel(call), statistics_.get());
    y.Finish();
  }

 private:
  std::shared_ptr<StatisticsCollector> statistics_;
  Weights b_;
  std::unique_ptr<HostMatMul> product_;
};

}  // namespace

std::unique_ptr<Kernel> MakeMatMulKernel(const Node& node) { return std::make_unique<MatMulKernel>(node); }

}  // namespace lba::ort
