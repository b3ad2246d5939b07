#include <algorithm>
#include <cstdint>

#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

constexpr int64_t kMaxSize = INT32_MAX;  // as of the attributes: no sum or product of two of them overflows

[[noreturn]] void Fail(const std::string& expected, const std::string& got) {
  throw std::invalid_argument("expected " + expected + ", got " + got);
}

struct Padding {
  int64_t begin = 0;
  int64_t end = 0;
};

int64_t ValueOr(const std::vector<int64_t>& values, size_t index, int64_t default_value) {
  return values.empty() ? default_value : values[index];
}

// Input positions from the first to the last that one output looks at.
int64_t Reach(int64_t kernel, int64_t dilation) { return (kernel - 1) * dilation + 1; }

Padding SamePadding(int64_t input, int64_t reach, int64_t stride, bool extra_at_end) {
  const int64_t output = (input + stride - 1) / stride;
  const int64_t total = std::max<int64_t>(0, (output - 1) * stride + reach - input);
  const int64_t smaller = total / 2;
  return extra_at_end ? Padding{smaller, total - smaller} : Padding{total - smaller, smaller};
}

Padding AxisPadding(int64_t input, int64_t kernel, size_t axis, size_t axes, const ConvAttributes& attributes) {
  switch (attributes.auto_pad) {
    case AutoPad::kNotSet:
      return {ValueOr(attributes.pads, axis, 0), ValueOr(attributes.pads, axis + axes, 0)};
    case AutoPad::kValid:
      return {};
    default:
      return SamePadding(input, Reach(kernel, ValueOr(attributes.dilations, axis, 1)),
                         ValueOr(attributes.strides, axis, 1), attributes.auto_pad == AutoPad::kSameUpper);
  }
}

// A stride of 1 and just as much padding as the kernel reaches keep a dimension, whatever it is.
bool KeepsDimension(const Dimension& kernel, size_t axis, size_t axes, const ConvAttributes& attributes) {
  if (ValueOr(attributes.strides, axis, 1) != 1) return false;
  if (attributes.auto_pad == AutoPad::kSameUpper || attributes.auto_pad == AutoPad::kSameLower) return true;
  if (!kernel.is_known()) return false;
  const Padding padding = AxisPadding(0, kernel.value, axis, axes, attributes);
  return padding.begin + padding.end == Reach(kernel.value, ValueOr(attributes.dilations, axis, 1)) - 1;
}

Dimension AxisOutput(const Dimension& input, const Dimension& kernel, size_t axis, size_t axes,
                     const ConvAttributes& attributes) {
  if (input.value > kMaxSize || kernel.value > kMaxSize) {
    Fail("spatial sizes of at most " + std::to_string(kMaxSize),
         std::to_string(std::max(input.value, kernel.value)) + " along spatial axis " + std::to_string(axis));
  }
  if (!input.is_known() || !kernel.is_known()) {
    return KeepsDimension(kernel, axis, axes, attributes) ? input : Dimension{};
  }
  const Padding padding = AxisPadding(input.value, kernel.value, axis, axes, attributes);
  const int64_t padded = input.value + padding.begin + padding.end;
  const int64_t reach = Reach(kernel.value, ValueOr(attributes.dilations, axis, 1));
  if (kernel.value < 1 || reach > padded) {
    Fail("a kernel that fits into the padded input", "a reach of " + std::to_string(reach) + " in " +
                                                         std::to_string(padded) + " positions along spatial axis " +
                                                         std::to_string(axis));
  }
  return {(padded - reach) / ValueOr(attributes.strides, axis, 1) + 1, ""};
}

void CheckCount(const char* name, const std::vector<int64_t>& values, size_t count) {
  if (values.empty() || values.size() == count) return;
  Fail(std::to_string(count) + " " + name, std::to_string(values.size()));
}

void CheckKernelShape(const Shape& w, const ConvAttributes& attributes) {
  for (size_t i = 0; i < attributes.kernel_shape.size(); ++i) {
    const Dimension expected{attributes.kernel_shape[i], ""};
    if (!w[i + 2].is_known() || w[i + 2].value == expected.value) continue;
    Fail("kernel_shape to be the spatial shape of W",
         "kernel_shape " + ToString(KnownShape(attributes.kernel_shape)) + " and W " + ToString(w));
  }
}

// Whether product == first * second, where that may overflow.
bool IsProduct(int64_t product, int64_t first, int64_t second) {
  return product % second == 0 && product / second == first;
}

void CheckChannels(const Shape& x, const Shape& w, const Shape& bias, const ConvAttributes& attributes) {
  const std::string group = " with group=" + std::to_string(attributes.group);
  if (!x.empty() && x[1].is_known() && w[1].is_known() && !IsProduct(x[1].value, w[1].value, attributes.group)) {
    Fail("as many channels in X as group times those in W", "X " + ToString(x) + " and W " + ToString(w) + group);
  }
  if (w[0].is_known() && w[0].value % attributes.group != 0) {
    Fail("output channels that group divides", "W " + ToString(w) + group);
  }
  const bool is_bias_wrong =
      !bias.empty() && (bias.size() != 1 || (w[0].is_known() && bias[0].is_known() && bias[0].value != w[0].value));
  if (is_bias_wrong) Fail("B with one value per output channel", "B " + ToString(bias) + " and W " + ToString(w));
}

void CheckRanks(const Shape& x, const Shape& w, const ConvAttributes& attributes) {
  const Shape& known = w.empty() ? x : w;
  if (known.size() < 3 || known.size() > 5) {
    Fail("1 to 3 spatial axes", (w.empty() ? "X " : "W ") + ToString(known));
  }
  if (!x.empty() && !w.empty() && x.size() != w.size()) {
    Fail("X and W of one rank", "X " + ToString(x) + " and W " + ToString(w));
  }
  const size_t axes = known.size() - 2;
  CheckCount("values in kernel_shape", attributes.kernel_shape, axes);
  CheckCount("strides", attributes.strides, axes);
  CheckCount("dilations", attributes.dilations, axes);
  CheckCount("pads", attributes.pads, 2 * axes);
}

}  // namespace

Shape ConvOutput(const Shape& x, const Shape& w, const Shape& bias, const ConvAttributes& attributes) {
  if (x.empty() && w.empty()) return {};
  CheckRanks(x, w, attributes);
  if (!w.empty()) {
    CheckKernelShape(w, attributes);
    CheckChannels(x, w, bias, attributes);
  }
  const size_t axes = (w.empty() ? x : w).size() - 2;
  Shape y(axes + 2);
  if (!x.empty()) y[0] = x[0];
  if (!w.empty()) y[1] = w[0];
  if (x.empty()) return y;
  for (size_t axis = 0; axis < axes; ++axis) {
    Dimension kernel = w.empty() ? Dimension{} : w[axis + 2];
    if (!kernel.is_known() && !attributes.kernel_shape.empty()) kernel.value = attributes.kernel_shape[axis];
    y[axis + 2] = AxisOutput(x[axis + 2], kernel, axis, axes, attributes);
  }
  return y;
}

ConvShape FilterShape(const std::vector<int64_t>& w, const ConvAttributes& attributes) {
  const size_t axes = w.size() - 2;
  ConvShape shape;
  shape.groups = attributes.group;
  shape.out_channels = w[0];
  shape.in_channels = w[1] * attributes.group;
  for (size_t axis = 0; axis < axes; ++axis) {
    const size_t place = axis + 3 - axes;
    shape.kernel[place] = w[axis + 2];
    shape.strides[place] = ValueOr(attributes.strides, axis, 1);
    shape.dilations[place] = ValueOr(attributes.dilations, axis, 1);
  }
  return shape;
}

ConvShape FullConvShape(const std::vector<int64_t>& x, const std::vector<int64_t>& w,
                        const ConvAttributes& attributes) {
  const size_t axes = w.size() - 2;
  ConvShape shape = FilterShape(w, attributes);
  shape.batch = x[0];
  for (size_t axis = 0; axis < axes; ++axis) {
    const size_t place = axis + 3 - axes;
    const Padding padding = AxisPadding(x[axis + 2], w[axis + 2], axis, axes, attributes);
    shape.input[place] = x[axis + 2];
    shape.pads_begin[place] = padding.begin;
    shape.pads_end[place] = padding.end;
  }
  const std::string reason = CompleteConvShape(&shape);
  if (!reason.empty()) throw std::invalid_argument(reason);
  return shape;
}

}  // namespace lba::ort
