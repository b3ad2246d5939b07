#include "onnxruntime/shape_inference.h"

#include <atomic>
#include <functional>
#include <memory>
#include <utility>

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

// The type of an input, or kFloat32 where it is absent.
ElementType InputType(const Api* api, const ShapeInferContext* context, size_t index) {
  const TensorInfo* info = InputInfo(api, context, index);
  return info == nullptr ? kFloat32 : ReadElementType(api, info);
}

// An empty shape stays open. Does nothing for an optional output that the node lacks.
void SetOutput(const Api* api, const ShapeInferContext* context, Shape shape, ElementType type, size_t index = 0) {
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
  Check(api, SetTensorElementType(api, info, type));
  Check(api, SetDimensions(api, info, values.data(), values.size()));
  Check(api, SetSymbolicDimensions(api, info, symbols.data(), symbols.size()));
  const bool is_set = Succeeded(api, ShapeInferContext_SetOutputTypeShape(api, context, index, info));
  if (!is_set && index == 0) throw ApiError("onnxruntime takes no shape");
}

void SetOutputShape(const Api* api, const ShapeInferContext* context, Shape shape) {
  SetOutput(api, context, std::move(shape), InputType(api, context, 0));
}

void InferIntegerMatMul(const Api* api, const ShapeInferContext* context, size_t b, ElementType output) {
  SetOutput(api, context, MatMulOutput(InputShape(api, context, 0), InputShape(api, context, b)), output);
}

void InferIntegerConv(const Api* api, const ShapeInferContext* context, size_t w, ElementType output) {
  const ConvAttributes attributes = ReadConvAttributes(InferenceAttributes(api, context));
  SetOutput(api, context, ConvOutput(InputShape(api, context, 0), InputShape(api, context, w), {}, attributes), output);
}

}  // namespace

Shape InferredInput(const Api* api, const ShapeInferContext* context, size_t index) {
  return InputShape(api, context, index);
}

void InferOutput(const Api* api, const ShapeInferContext* context, const Shape& shape, size_t index) {
  SetOutput(api, context, shape, InputType(api, context, 0), index);
}

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

void InferMatMulNBits(const Api* api, const ShapeInferContext* context) {
  const NBitsAttributes attributes = ReadNBitsAttributes(InferenceAttributes(api, context));
  SetOutputShape(api, context, NBitsOutput(InputShape(api, context, 0), attributes));
}

void InferQLinearMatMul(const Api* api, const ShapeInferContext* context) {
  InferIntegerMatMul(api, context, 3, InputType(api, context, 7));
}

void InferQGemm(const Api* api, const ShapeInferContext* context) {
  const GemmAttributes attributes = ReadGemmAttributes(InferenceAttributes(api, context));
  SetOutput(api, context, GemmOutput(InputShape(api, context, 0), InputShape(api, context, 3), {}, attributes),
            InputType(api, context, 8));
}

void InferQLinearConv(const Api* api, const ShapeInferContext* context) {
  InferIntegerConv(api, context, 3, InputType(api, context, 7));
}

void InferMatMulInteger(const Api* api, const ShapeInferContext* context) {
  InferIntegerMatMul(api, context, 1, kInt32);
}

void InferConvInteger(const Api* api, const ShapeInferContext* context) { InferIntegerConv(api, context, 1, kInt32); }

void InferMatMulIntegerToFloat(const Api* api, const ShapeInferContext* context) {
  InferIntegerMatMul(api, context, 1, kFloat32);
}

void InferConvIntegerToFloat(const Api* api, const ShapeInferContext* context) {
  InferIntegerConv(api, context, 1, kFloat32);
}

}  // namespace lba::ort
