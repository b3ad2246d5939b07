// An operator for tests with two products, each with an accumulator and statistics of its own:
// LbaTwoProducts(X, W1, W2) = MatMul(MatMul(X, W1), W2), named "first" and "second". What is between them is float32.
#include <memory>
#include <string>
#include <vector>

#include "onnxruntime/host_product.h"
#include "onnxruntime/matmul_shape.h"
#include "onnxruntime/operator_registry.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

std::vector<int64_t> ProductDimensions(const std::vector<int64_t>& a, const std::vector<int64_t>& b) {
  return KnownDimensions(MatMulOutput(KnownShape(a), KnownShape(b)));
}

class OneProduct {
 public:
  OneProduct(const Node& node, const std::string& name, size_t weights)
      : statistics_(ReadStatistics(node.attributes(), name)), b_(node, weights) {
    const bool is_constant = b_.constant() != nullptr;
    const StridedMatMul constant = is_constant ? ConstantMatMulB(b_.dimensions()) : StridedMatMul{};
    product_ = MakeHostMatMul(node.place(), ReadAccumulator(node.attributes(), name), constant, b_.constant());
  }

  void Compute(const Call& call, const std::vector<int64_t>& a_dimensions, const float* a, const Tensor& b,
               float* y) const {
    const StridedMatMul shape = FullMatMul(a_dimensions, b.dimensions, ProductDimensions(a_dimensions, b.dimensions));
    const Floats b_values = b_.Of(b);
    product_->Compute(shape, a, b_values.data(), y, SessionParallel(call), statistics_.get());
  }

 private:
  std::shared_ptr<StatisticsCollector> statistics_;
  Weights b_;
  std::unique_ptr<HostMatMul> product_;
};

class TwoProductsKernel : public Kernel {
 public:
  explicit TwoProductsKernel(const Node& node) : first_(node, "first", 1), second_(node, "second", 2) {}

  void Compute(const Call& call) const override {
    const Tensor x = call.Input(0);
    const Tensor w1 = call.Input(1);
    const Tensor w2 = call.Input(2);
    const std::vector<int64_t> between = ProductDimensions(x.dimensions, w1.dimensions);
    const FloatOutput y(call, x.type, ProductDimensions(between, w2.dimensions));
    if (y.count() == 0) return;
    std::vector<float> values(static_cast<size_t>(ElementCount(between)));
    first_.Compute(call, x.dimensions, Floats(x).data(), w1, values.data());
    second_.Compute(call, between, values.data(), w2, y.data());
    y.Finish();
  }

 private:
  OneProduct first_, second_;
};

std::unique_ptr<Kernel> MakeTwoProductsKernel(const Node& node) { return std::make_unique<TwoProductsKernel>(node); }

void LeaveShapeOpen(const Api*, const ShapeInferContext*) {}

const OperatorRegistration registration({"LbaTwoProducts", 3, 3, MakeTwoProductsKernel, nullptr, LeaveShapeOpen});

}  // namespace
}  // namespace lba::ort
