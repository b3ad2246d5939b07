// Which shapes the operators take and make. One set of rules serves shape inference, the check at kernel creation (both
// with dimensions that may be unknown) and the computation itself (all known).
#ifndef LBA_ONNXRUNTIME_SHAPE_RULES_H_
#define LBA_ONNXRUNTIME_SHAPE_RULES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "lba/conv.h"
#include "onnxruntime/attributes.h"
#include "onnxruntime/ort_api.h"

namespace lba::ort {

// The operands' shapes as far as known: an empty shape stands for an unknown rank (for Gemm's C, also for a scalar, and
// for an absent operand).
// Each rule returns the output's shape, empty when its rank cannot be known, and throws std::invalid_argument with what
// was expected and what came. A dimension that is unknown and equal to no other gets an empty symbol.
Shape MatMulOutput(const Shape& a, const Shape& b);
Shape GemmOutput(const Shape& a, const Shape& b, const Shape& c, const GemmAttributes& attributes);
Shape NBitsOutput(const Shape& a, const NBitsAttributes& attributes);
Shape ConvOutput(const Shape& x, const Shape& w, const Shape& bias, const ConvAttributes& attributes);

// The convolution of operands that ConvOutput has accepted, w being known.
ConvShape FilterShape(const std::vector<int64_t>& w, const ConvAttributes& attributes);
ConvShape FullConvShape(const std::vector<int64_t>& x, const std::vector<int64_t>& w, const ConvAttributes& attributes);

Shape KnownShape(const std::vector<int64_t>& dimensions);
std::vector<int64_t> KnownDimensions(const Shape& shape);
std::string ToString(const Shape& shape);  // "[2, N, ?]"

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_SHAPE_RULES_H_
