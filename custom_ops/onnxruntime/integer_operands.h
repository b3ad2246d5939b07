// The operands of an operator of integers in one call: codes with their zero points, and what becomes of the sums.
#ifndef LBA_ONNXRUNTIME_INTEGER_OPERANDS_H_
#define LBA_ONNXRUNTIME_INTEGER_OPERANDS_H_

#include <cstdint>
#include <vector>

#include "lba/integer_product.h"
#include "onnxruntime/kernel.h"

namespace lba::ort {

constexpr int kNoInput = -1;

// Which input is which. Scales of x and y are one value, those of w one, or one for each column or output channel; so
// are zero points, and biases.
struct IntegerInputs {
  int x, w;
  int x_scale = kNoInput, w_scale = kNoInput, y_scale = kNoInput;
  int x_zero_point = kNoInput, w_zero_point = kNoInput, y_zero_point = kNoInput;
  int bias = kNoInput;        // int32
  int float_bias = kNoInput;  // float32
};

// As in QLinearMatMul and, without its bias, QLinearConv.
constexpr IntegerInputs QLinearInputs() {
  IntegerInputs inputs{0, 3};
  inputs.x_scale = 1;
  inputs.x_zero_point = 2;
  inputs.w_scale = 4;
  inputs.w_zero_point = 5;
  inputs.y_scale = 6;
  inputs.y_zero_point = 7;
  return inputs;
}

// As in MatMulInteger and ConvInteger.
constexpr IntegerInputs IntegerSumInputs() {
  IntegerInputs inputs{0, 1};
  inputs.x_zero_point = 2;
  inputs.w_zero_point = 3;
  return inputs;
}

// As in MatMulIntegerToFloat.
constexpr IntegerInputs IntegerToFloatInputs() {
  IntegerInputs inputs{0, 1};
  inputs.x_scale = 2;
  inputs.w_scale = 3;
  inputs.x_zero_point = 4;
  inputs.w_zero_point = 5;
  inputs.float_bias = 6;
  return inputs;
}

// An operand's codes, and its zero points as the kernels read them.
class CodeOperand {
 public:
  // `zero_points` may be absent: 0. `columns`: how many zero points there may be.
  CodeOperand(const Tensor& codes, const Tensor& zero_points, int64_t columns);
  Codes codes() const;

 private:
  Codes codes_;
  std::vector<int32_t> zero_points_;
};

// The epilogue of one call, and the arrays that it points to. `factor` is multiplied with the scales, first of all.
class CallEpilogue {
 public:
  CallEpilogue(const IntegerInputs& inputs, const Call& call, int64_t columns, float factor);
  const IntegerEpilogue& get() const { return epilogue_; }
  CallEpilogue(const CallEpilogue&) = delete;
  CallEpilogue& operator=(const CallEpilogue&) = delete;

 private:
  std::vector<float> scales_, float_bias_;
  std::vector<int32_t> bias_;
  IntegerEpilogue epilogue_;
};

// The accumulator of a node of integers. Throws std::invalid_argument for one of floats, and for one whose sums are
// int64 where the output is int32.
SharedAccumulator ReadIntegerAccumulator(const Node& node, const IntegerInputs& inputs);

// The weights as they were when the node was created; null data where they, or their zero points, are no constants.
CodeOperand ConstantWeights(const Node& node, const IntegerInputs& inputs, int64_t columns);
// The dimensions of constant weights; empty where they, or their zero points, are no constants.
std::vector<int64_t> ConstantWeightDimensions(const Node& node, const IntegerInputs& inputs);

// An input that may be absent in a call, or not be there at all.
Tensor OptionalInput(const Call& call, int index);

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_INTEGER_OPERANDS_H_
