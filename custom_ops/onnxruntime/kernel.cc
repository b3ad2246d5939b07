#include "onnxruntime/kernel.h"

#include "onnxruntime/float16.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

template <typename Read>
std::string ReadText(const Api* api, Read read) {
  size_t bytes = 0;
  if (!Succeeded(api, read(nullptr, &bytes)) || bytes == 0) return "";
  std::string text(bytes, '\0');
  if (!Succeeded(api, read(text.data(), &bytes))) return "";
  text.resize(bytes - 1);
  return text;
}

}  // namespace

std::string NodeLabel(const Api* api, const KernelInfo* info, const std::string& op_type) {
  const std::string name =
      ReadText(api, [&](char* out, size_t* bytes) { return KernelInfo_GetNodeName(api, info, out, bytes); });
  if (!name.empty()) return "node '" + name + "' (" + op_type + ")";
  const std::string output =
      ReadText(api, [&](char* out, size_t* bytes) { return KernelInfo_GetOutputName(api, info, 0, out, bytes); });
  return "unnamed node (" + op_type + ") with output '" + output + "'";
}

Node Node::OnHostCopies() const {
  Node node(api_, info_, Place::kOffloaded, nullptr);
  node.has_constants_ = false;
  return node;
}

std::shared_ptr<TypeInfo> Node::InputType(size_t index) const {
  size_t count = 0;
  Check(api_, KernelInfo_GetInputCount(api_, info_, &count));
  TypeInfo* type = nullptr;
  if (index >= count || !Succeeded(api_, KernelInfo_GetInputTypeInfo(api_, info_, index, &type))) return nullptr;
  const Api* api = api_;
  return {type, [api](TypeInfo* owned) { ReleaseTypeInfo(api, owned); }};
}

Shape Node::InputShape(size_t index) const {
  const Tensor constant = ConstantInput(index);
  if (constant.is_present()) return KnownShape(constant.dimensions);
  const std::shared_ptr<TypeInfo> type = InputType(index);
  if (type == nullptr) return {};
  const TensorInfo* info = nullptr;
  Check(api_, CastTypeInfoToTensorInfo(api_, type.get(), &info));
  return info == nullptr ? Shape{} : ReadShape(api_, info);
}

Tensor Node::ConstantInput(size_t index) const {
  if (!has_constants_) return {};
  int is_constant = 0;
  const Value* value = nullptr;
  if (!Succeeded(api_, KernelInfoGetConstantInput_tensor(api_, info_, index, &is_constant, &value))) return {};
  return is_constant != 0 && value != nullptr ? ReadTensor(api_, value) : Tensor{};
}

void RequireFloats(const Accumulator& accumulator) {
  if (accumulator.integers() == nullptr) return;
  throw std::invalid_argument("expected an accumulator of floats for operands of floats, such as M7E4b10, got " +
                              accumulator.text());
}

void RequireRank(const Tensor& operand) {
  if (operand.dimensions.empty()) throw std::invalid_argument("expected operands of rank 1 or more, got a scalar");
}

Floats::Floats(const Tensor& tensor) {
  if (tensor.type == kFloat32) {
    data_ = static_cast<const float*>(tensor.data);
  } else if (tensor.data != nullptr) {
    converted_.reset(new float[static_cast<size_t>(tensor.count())]);
    Float16ToFloat32(static_cast<const uint16_t*>(tensor.data), tensor.count(), converted_.get());
    data_ = converted_.get();
  }
}

Weights::Weights(const Node& node, size_t index) {
  const Tensor tensor = node.ConstantInput(index);
  if (tensor.is_present()) RequireRank(tensor);
  if (tensor.data == nullptr || tensor.count() == 0) return;
  dimensions_ = tensor.dimensions;
  if (tensor.type == kFloat16) converted_ = Floats(tensor);
  constant_ = tensor.type == kFloat16 ? converted_.data() : static_cast<const float*>(tensor.data);
}

Floats Weights::Of(const Tensor& tensor) const {
  return converted_.data() != nullptr ? Floats(converted_.data()) : Floats(tensor);
}

FloatOutput::FloatOutput(const Call& call, ElementType type, const std::vector<int64_t>& dimensions, size_t index)
    : tensor_(call.Output(index, dimensions)), count_(ElementCount(dimensions)) {
  if (type == kFloat16 && tensor_ != nullptr) unrounded_.reset(new float[static_cast<size_t>(count_)]);
  data_ = unrounded_ ? unrounded_.get() : static_cast<float*>(tensor_);
}

void FloatOutput::Finish() const {
  if (unrounded_) Float32ToFloat16(data_, count_, static_cast<uint16_t*>(tensor_));
}

}  // namespace lba::ort
