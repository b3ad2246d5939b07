// Matrix products of codes: LbaQLinearMatMul, LbaQGemm, LbaMatMulInteger, LbaMatMulIntegerToFloat.
#include "onnxruntime/integer_operands.h"
#include "onnxruntime/integer_signatures.h"
#include "onnxruntime/kernel.h"
#include "onnxruntime/matmul_shape.h"
#include "onnxruntime/operator_registry.h"
#include "onnxruntime/shape_inference.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

// How operands of two shapes are multiplied.
class Products {
 public:
  virtual ~Products() = default;
  virtual float factor() const { return 1.0f; }
  virtual Shape Output(const Shape& a, const Shape& b) const { return MatMulOutput(a, b); }
  virtual StridedMatMul Full(const std::vector<int64_t>& a, const std::vector<int64_t>& b,
                             const std::vector<int64_t>& y) const {
    return FullMatMul(a, b, y);
  }
  virtual StridedMatMul OfConstantB(const std::vector<int64_t>& b) const { return ConstantMatMulB(b); }
};

class GemmProducts : public Products {
 public:
  explicit GemmProducts(const GemmAttributes& attributes) : attributes_(attributes) {}
  float factor() const override { return attributes_.alpha; }
  Shape Output(const Shape& a, const Shape& b) const override { return GemmOutput(a, b, {}, attributes_); }
  StridedMatMul Full(const std::vector<int64_t>& a, const std::vector<int64_t>& b,
                     const std::vector<int64_t>&) const override {
    return FullGemm(a, b, attributes_);
  }
  StridedMatMul OfConstantB(const std::vector<int64_t>& b) const override { return ConstantGemmB(b, attributes_); }

 private:
  GemmAttributes attributes_;
};

class IntegerMatMulKernel : public Kernel {
 public:
  IntegerMatMulKernel(const Node& node, const IntegerInputs& inputs, std::unique_ptr<Products> products)
      : inputs_(inputs),
        products_(std::move(products)),
        statistics_(ReadStatistics(node.attributes())),
        accumulator_(ReadIntegerAccumulator(node, inputs)) {
    products_->Output(node.InputShape(static_cast<size_t>(inputs.x)), node.InputShape(static_cast<size_t>(inputs.w)));
    const std::vector<int64_t> dimensions = ConstantWeightDimensions(node, inputs);
    if (dimensions.empty()) return;
    const StridedMatMul shape = products_->OfConstantB(dimensions);
    const CodeOperand weights = ConstantWeights(node, inputs, shape.columns);
    packed_ = PackIntegerMatrices(*accumulator_, WithOffsets(shape), weights.codes(), SerialParallel());
  }

  void Compute(const Call& call) const override {
    const Tensor a = OptionalInput(call, inputs_.x);
    const Tensor b = OptionalInput(call, inputs_.w);
    RequireRank(a);
    RequireRank(b);
    const std::vector<int64_t> dimensions =
        KnownDimensions(products_->Output(KnownShape(a.dimensions), KnownShape(b.dimensions)));
    void* y = call.Output(0, dimensions);
    if (ElementCount(dimensions) == 0) return;
    const StridedMatMul shape = products_->Full(a.dimensions, b.dimensions, dimensions);
    const CodeOperand a_codes(a, OptionalInput(call, inputs_.x_zero_point), 1);
    const CodeOperand b_codes(b, OptionalInput(call, inputs_.w_zero_point), shape.columns);
    const CallEpilogue epilogue(inputs_, call, shape.columns, products_->factor());
    IntegerMatMul(*accumulator_, WithOffsets(shape), a_codes.codes(), b_codes.codes(), packed_.get(), epilogue.get(), y,
                  SessionParallel(call), statistics_.get());
  }

 private:
  IntegerInputs inputs_;
  std::unique_ptr<Products> products_;
  std::shared_ptr<StatisticsCollector> statistics_;
  SharedAccumulator accumulator_;
  std::shared_ptr<const PackedIntegerMatrices> packed_;
};

constexpr IntegerInputs QGemmInputs() {
  IntegerInputs inputs = QLinearInputs();
  inputs.bias = 6;
  inputs.y_scale = 7;
  inputs.y_zero_point = 8;
  return inputs;
}

// A node without y_scale has a float32 result. Its signatures come first and match no node with y_zero_point:
// onnxruntime takes the first that matches the inputs that are there.
std::vector<Signature> QGemmSignatures() {
  std::vector<Signature> signatures = IntegerSignatures("xfxwfwifff");
  const std::vector<Signature> quantizing = IntegerSignatures("xfxwfwifyy");
  signatures.insert(signatures.end(), quantizing.begin(), quantizing.end());
  return signatures;
}

const OperatorRegistration qlinear_matmul({"LbaQLinearMatMul", 8, 8, MakeQLinearMatMulKernel, nullptr,
                                           InferQLinearMatMul, IntegerSignatures("xfxwfwfyy")});
const OperatorRegistration qgemm({"LbaQGemm", 9, 6, MakeQGemmKernel, nullptr, InferQGemm, QGemmSignatures()});
const OperatorRegistration matmul_integer({"LbaMatMulInteger", 4, 2, MakeMatMulIntegerKernel, nullptr,
                                           InferMatMulInteger, IntegerSignatures("xwxwi")});
const OperatorRegistration to_float({"LbaMatMulIntegerToFloat", 7, 4, MakeMatMulIntegerToFloatKernel, nullptr,
                                     InferMatMulIntegerToFloat, IntegerSignatures("xwffxwff")});

}  // namespace

std::unique_ptr<Kernel> MakeQLinearMatMulKernel(const Node& node) {
  return std::make_unique<IntegerMatMulKernel>(node, QLinearInputs(), std::make_unique<Products>());
}

std::unique_ptr<Kernel> MakeQGemmKernel(const Node& node) {
  const GemmAttributes attributes = ReadGemmAttributes(node.attributes());
  return std::make_unique<IntegerMatMulKernel>(node, QGemmInputs(), std::make_unique<GemmProducts>(attributes));
}

std::unique_ptr<Kernel> MakeMatMulIntegerKernel(const Node& node) {
  return std::make_unique<IntegerMatMulKernel>(node, IntegerSumInputs(), std::make_unique<Products>());
}

std::unique_ptr<Kernel> MakeMatMulIntegerToFloatKernel(const Node& node) {
  return std::make_unique<IntegerMatMulKernel>(node, IntegerToFloatInputs(), std::make_unique<Products>());
}

}  // namespace lba::ort
