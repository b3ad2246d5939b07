#include "onnxruntime/integer_operands.h"

#include <algorithm>

#include "common/arguments.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

Tensor OptionalConstant(const Node& node, int index) {
  return index == kNoInput ? Tensor{} : node.ConstantInput(static_cast<size_t>(index));
}

CodeType CodeTypeOf(const Tensor& tensor) { return tensor.type == kInt8 ? CodeType::kInt8 : CodeType::kUint8; }

// As onnxruntime tells a scalar from what is absent: by its data.
bool IsGiven(const Tensor& tensor) { return tensor.data != nullptr; }

void RequireCount(const Tensor& tensor, int64_t columns, const char* name) {
  const int64_t count = tensor.count();
  const bool is_column = tensor.dimensions.empty() || tensor.dimensions.back() == count;
  if (count == 1 || (count == columns && is_column)) return;
  const std::string several = columns == 1 ? "" : " or " + std::to_string(columns) + ", one an output";
  throw std::invalid_argument(std::string("expected 1 ") + name + several + ", got shape " +
                              ToString(KnownShape(tensor.dimensions)));
}

int32_t CodeAt(const Tensor& codes, int64_t index) {
  if (codes.type == kInt8) return static_cast<const int8_t*>(codes.data)[index];
  return static_cast<const uint8_t*>(codes.data)[index];
}

template <typename Value>
std::vector<Value> OneForEach(const Tensor& tensor, int64_t columns) {
  const auto* values = static_cast<const Value*>(tensor.data);
  if (tensor.count() == 1) return std::vector<Value>(static_cast<size_t>(columns), values[0]);
  return std::vector<Value>(values, values + columns);
}

float OneScale(const Tensor& tensor, const char* name) {
  RequireCount(tensor, 1, name);
  return *static_cast<const float*>(tensor.data);
}

// In the order of onnxruntime's kernels, each step rounded to float32.
std::vector<float> Scales(const Tensor& x, const Tensor& w, const Tensor& y, float factor, int64_t columns) {
  RequireCount(w, columns, "scale of the weights");
  const auto* values = static_cast<const float*>(w.data);
  std::vector<float> scales(values, values + w.count());
  const float first = factor * OneScale(x, "scale of the first operand");
  for (float& scale : scales) scale = first * scale;
  if (!IsGiven(y)) return scales;
  const float divisor = OneScale(y, "scale of the output");
  for (float& scale : scales) scale = scale / divisor;
  return scales;
}

}  // namespace

Tensor OptionalInput(const Call& call, int index) {
  return index == kNoInput ? Tensor{} : call.Input(static_cast<size_t>(index));
}

CodeOperand::CodeOperand(const Tensor& codes, const Tensor& zero_points, int64_t columns) {
  codes_.data = codes.data;
  codes_.type = CodeTypeOf(codes);
  if (!IsGiven(zero_points)) return;
  RequireCount(zero_points, columns, "zero point");
  for (int64_t i = 0; i < zero_points.count(); ++i) zero_points_.push_back(CodeAt(zero_points, i));
  codes_.has_many_zero_points = zero_points_.size() > 1;
}

Codes CodeOperand::codes() const {
  Codes codes = codes_;
  if (!zero_points_.empty()) codes.zero_points = zero_points_.data();
  return codes;
}

CallEpilogue::CallEpilogue(const IntegerInputs& inputs, const Call& call, int64_t columns, float factor) {
  const Tensor zero_point = OptionalInput(call, inputs.y_zero_point), y_scale = OptionalInput(call, inputs.y_scale);
  const Tensor bias = OptionalInput(call, inputs.bias), float_bias = OptionalInput(call, inputs.float_bias);
  Require(IsGiven(zero_point) == IsGiven(y_scale), "expected both y_scale and y_zero_point or neither, got one");
  if (IsGiven(bias)) {
    RequireCount(bias, columns, "bias");
    bias_ = OneForEach<int32_t>(bias, columns);
    epilogue_.bias = bias_.data();
  }
  if (inputs.x_scale == kNoInput) return;
  scales_ = Scales(OptionalInput(call, inputs.x_scale), OptionalInput(call, inputs.w_scale), y_scale, factor, columns);
  epilogue_.scales = scales_.data();
  epilogue_.has_many_scales = scales_.size() > 1;
  epilogue_.output = IntegerOutput::kFloat32;
  if (IsGiven(float_bias)) {
    RequireCount(float_bias, columns, "bias");
    float_bias_ = OneForEach<float>(float_bias, columns);
    epilogue_.float_bias = float_bias_.data();
  }
  if (IsGiven(zero_point)) {
    RequireCount(zero_point, 1, "zero point of the output");
    epilogue_.output = zero_point.type == kInt8 ? IntegerOutput::kInt8 : IntegerOutput::kUint8;
    epilogue_.zero_point = CodeAt(zero_point, 0);
  }
}

SharedAccumulator ReadIntegerAccumulator(const Node& node, const IntegerInputs& inputs) {
  const SharedAccumulator accumulator = ReadAccumulator(node.attributes());
  const bool is_wide = HasInt64Sums(*accumulator);
  Require(!is_wide || inputs.x_scale != kNoInput,
          "expected an accumulator whose sums are int32, as the output is, got " + accumulator->text());
  return accumulator;
}

std::vector<int64_t> ConstantWeightDimensions(const Node& node, const IntegerInputs& inputs) {
  const Tensor weights = OptionalConstant(node, inputs.w);
  if (!IsGiven(weights) || weights.count() == 0) return {};
  const bool has_zero_points =
      inputs.w_zero_point != kNoInput && node.HasInput(static_cast<size_t>(inputs.w_zero_point));
  if (has_zero_points && !IsGiven(OptionalConstant(node, inputs.w_zero_point))) return {};
  return weights.dimensions;
}

CodeOperand ConstantWeights(const Node& node, const IntegerInputs& inputs, int64_t columns) {
  return CodeOperand(OptionalConstant(node, inputs.w), OptionalConstant(node, inputs.w_zero_point), columns);
}

}  // namespace lba::ort
