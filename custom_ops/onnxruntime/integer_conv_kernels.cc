// Convolutions of codes: LbaQLinearConv, LbaConvInteger, LbaConvIntegerToFloat.
#include "onnxruntime/integer_operands.h"
#include "onnxruntime/integer_signatures.h"
#include "onnxruntime/kernel.h"
#include "onnxruntime/operator_registry.h"
#include "onnxruntime/shape_inference.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

class IntegerConvKernel : public Kernel {
 public:
  IntegerConvKernel(const Node& node, const IntegerInputs& inputs)
      : inputs_(inputs),
        statistics_(ReadStatistics(node.attributes())),
        attributes_(ReadConvAttributes(node.attributes())),
        accumulator_(ReadIntegerAccumulator(node, inputs)) {
    ConvOutput(node.InputShape(static_cast<size_t>(inputs.x)), node.InputShape(static_cast<size_t>(inputs.w)), {},
               attributes_);
    const std::vector<int64_t> dimensions = ConstantWeightDimensions(node, inputs);
    if (dimensions.empty()) return;
    const CodeOperand weights = ConstantWeights(node, inputs, dimensions[0]);
    packed_ = PackIntegerFilter(*accumulator_, FilterShape(dimensions, attributes_), weights.codes(), SerialParallel());
  }

  void Compute(const Call& call) const override {
    const Tensor x = OptionalInput(call, inputs_.x);
    const Tensor w = OptionalInput(call, inputs_.w);
    RequireRank(x);
    RequireRank(w);
    const std::vector<int64_t> dimensions =
        KnownDimensions(ConvOutput(KnownShape(x.dimensions), KnownShape(w.dimensions), {}, attributes_));
    const ConvShape shape = FullConvShape(x.dimensions, w.dimensions, attributes_);
    void* y = call.Output(0, dimensions);
    if (ElementCount(dimensions) == 0) return;
    const CodeOperand x_codes(x, OptionalInput(call, inputs_.x_zero_point), 1);
    const CodeOperand w_codes(w, OptionalInput(call, inputs_.w_zero_point), shape.out_channels);
    const CallEpilogue epilogue(inputs_, call, shape.out_channels, 1.0f);
    IntegerConv(*accumulator_, shape, x_codes.codes(), w_codes.codes(), packed_.get(), epilogue.get(), y,
                SessionParallel(call), statistics_.get());
  }

 private:
  IntegerInputs inputs_;
  std::shared_ptr<StatisticsCollector> statistics_;
  ConvAttributes attributes_;
  SharedAccumulator accumulator_;
  std::shared_ptr<const PackedIntegerFilter> packed_;
};

constexpr IntegerInputs QLinearConvInputs() {
  IntegerInputs inputs = QLinearInputs();
  inputs.bias = 8;
  return inputs;
}

const OperatorRegistration qlinear_conv({"LbaQLinearConv", 9, 8, MakeQLinearConvKernel, nullptr, InferQLinearConv,
                                         IntegerSignatures("xfxwfwfyiy")});
const OperatorRegistration conv_integer({"LbaConvInteger", 4, 2, MakeConvIntegerKernel, nullptr, InferConvInteger,
                                         IntegerSignatures("xwxwi")});
const OperatorRegistration to_float({"LbaConvIntegerToFloat", 7, 4, MakeConvIntegerToFloatKernel, nullptr,
                                     InferConvIntegerToFloat, IntegerSignatures("xwffxwff")});

}  // namespace

std::unique_ptr<Kernel> MakeQLinearConvKernel(const Node& node) {
  return std::make_unique<IntegerConvKernel>(node, QLinearConvInputs());
}

std::unique_ptr<Kernel> MakeConvIntegerKernel(const Node& node) {
  return std::make_unique<IntegerConvKernel>(node, IntegerSumInputs());
}

std::unique_ptr<Kernel> MakeConvIntegerToFloatKernel(const Node& node) {
  return std::make_unique<IntegerConvKernel>(node, IntegerToFloatInputs());
}

}  // namespace lba::ort
