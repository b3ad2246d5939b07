// The shapes of the operators' outputs, for onnxruntime's shape inference.
#ifndef LBA_ONNXRUNTIME_SHAPE_INFERENCE_H_
#define LBA_ONNXRUNTIME_SHAPE_INFERENCE_H_

#include "onnxruntime/ort_api.h"

namespace lba::ort {

// The shape of an input; empty where it is absent or of unknown rank.
Shape InferredInput(const Api* api, const ShapeInferContext* context, size_t index);
// Sets the shape of an output of the first input's type, unless it is empty, or the node lacks that optional output.
void InferOutput(const Api* api, const ShapeInferContext* context, const Shape& shape, size_t index);

// Each sets the output's shape as far as it follows from the inputs', and leaves it open when they do not fit: kernel
// creation reports that, with the node's name, which is not known here.
void InferMatMul(const Api* api, const ShapeInferContext* context);
void InferGemm(const Api* api, const ShapeInferContext* context);
void InferConv(const Api* api, const ShapeInferContext* context);
void InferMatMulNBits(const Api* api, const ShapeInferContext* context);

// Of operators of integers, the output's type, too.
void InferQLinearMatMul(const Api* api, const ShapeInferContext* context);
void InferQGemm(const Api* api, const ShapeInferContext* context);
void InferQLinearConv(const Api* api, const ShapeInferContext* context);
void InferMatMulInteger(const Api* api, const ShapeInferContext* context);
void InferConvInteger(const Api* api, const ShapeInferContext* context);
void InferMatMulIntegerToFloat(const Api* api, const ShapeInferContext* context);
void InferConvIntegerToFloat(const Api* api, const ShapeInferContext* context);

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_SHAPE_INFERENCE_H_
