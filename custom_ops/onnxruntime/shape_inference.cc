#include "onnxruntime/shape_inference.h"

#include <atomic>
#include <functional>
#include <memory>

#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

// Owned by the context; null when the input is absent.
const TensorInfo* InputInfo(const Api* api, const ShapeInferContext* context, size_t index) {
  size_t count = 0;
  Check(api, ShapeInferContext_GetInputCount(api, context, &count));
  TensorInfo* info = nullptr;
  if (index >= count || !Succeeded(api, ShapeInferContext_GetInputTypeShape(api, context, index, &info)))
    return nullptr;
  return info;
}

Shape InputShape(const Api* api, const ShapeInferContext* context, size_t index) {
  const TensorInfo* info = InputInfo(api, context, index);
  return info == nullptr ? Shape{} : ReadShape(api, info);
}

// onnxruntime writes a dimension without a symbol as the value -1, which contradicts every declared size, and takes
// dimensions of one symbol for equal: so each unknown dimension gets a symbol of its own.
std::string NewSymbol() {
  static std::atomic<uint64_t> count{0};
  return "lba_onnx_" + std::to_string(count++);
}

void SetOutputShape(const Api* api, const ShapeInferContext* context, Shape shape) {
  if (shape.empty()) return;
  for (Dimension& dimension : shape) {
    if (!dimension.is_known() && dimension.symbol.empty()) dimension.symbol = NewSymbol();
  }
  const std::vector<int64_t> values = KnownDimensions(shape);
  std::vector<const char*> symbols;
  for (const Dimension& dimension : shape) symbols.push_back(dimension.symbol.c_str());
  TensorInfo* info = nullptr;
  Check(api, CreateTensorTypeAndShapeInfo(api, &info));
  const std::unique_ptr<TensorInfo, std::function<void(TensorInfo*)>> owner(
      info, [api](TensorInfo* owned) { ReleaseTensorTypeAndShapeInfo(api, owned); });
  const TensorInfo* first_input = InputInfo(api, context, 0);
  if (first_input != nullptr) Check(api, SetTensorElementType(api, info, ReadElementType(api, first_input)));
  Check(api, SetDimensions(api, info, values.data(), values.size()));
  Check(api, SetSymbolicDimensions(api, info, symbols.data(), symbols.size()));
  Check(api, ShapeInferContext_SetOutputTypeShape(api, context, 0, info));
}

}  // namespace

void InferMatMul(const Api* api, const ShapeInferContext* context) {
  SetOutputShape(api, context, MatMulOutput(InputShape(api, context, 0), InputShape(api, context, 1)));
}

void InferGemm(const Api* api, const ShapeInferContext* context) {
  const GemmAttributes attributes = ReadGemmAttributes(InferenceAttributes(api, context));
  SetOutputShape(api, context, GemmOutput(InputShape(api, context, 0), InputShape(api, context, 1), {}, attributes));
}

void InferConv(const Api* api, const ShapeInferContext* context) {
  const ConvAttributes attributes = ReadConvAttributes(InferenceAttributes(api, context));
  SetOutputShape(api, context, ConvOutput(InputShape(api, context, 0), InputShape(api, context, 1), {}, attributes));
}

}  // namespace lba::ort
