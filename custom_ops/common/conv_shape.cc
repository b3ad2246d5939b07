#include <string>

#include "lba/conv.h"

namespace lba {
namespace {

constexpr int64_t kMaxSize = (int64_t{1} << 31) - 1;  // of one dimension, so that products of two never overflow
constexpr double kMaxOutputs = 0x1p48;

}  // namespace

std::string CompleteConvShape(ConvShape* shape) {
  for (const int64_t size : {shape->batch, shape->in_channels, shape->out_channels}) {
    if (size < 0) return "expected sizes of 0 or more, got " + std::to_string(size);
  }
  double outputs = static_cast<double>(shape->batch) * static_cast<double>(shape->out_channels);
  if (shape->groups < 1) return "expected group of at least 1, got " + std::to_string(shape->groups);
  if (shape->in_channels % shape->groups != 0 || shape->out_channels % shape->groups != 0) {
    return "expected channels that group divides, got " + std::to_string(shape->in_channels) + " input and " +
           std::to_string(shape->out_channels) + " output channels in " + std::to_string(shape->groups) + " groups";
  }
  for (int d = 0; d < 3; ++d) {
    if (shape->kernel[d] < 1 || shape->strides[d] < 1 || shape->dilations[d] < 1) {
      return "expected kernel sizes, strides and dilations of at least 1";
    }
    if (shape->pads_begin[d] < 0 || shape->pads_end[d] < 0) return "expected pads of 0 or more";
    for (const int64_t size : {shape->input[d], shape->kernel[d], shape->strides[d], shape->dilations[d],
                               shape->pads_begin[d], shape->pads_end[d]}) {
      if (size > kMaxSize) return "expected sizes below 2^31, got " + std::to_string(size);
    }
    const int64_t padded = shape->input[d] + shape->pads_begin[d] + shape->pads_end[d];
    const int64_t reach = (shape->kernel[d] - 1) * shape->dilations[d] + 1;
    if (padded < reach) {
      return "expected a kernel that fits the padded input, got a kernel that spans " + std::to_string(reach) + " of " +
             std::to_string(padded);
    }
    shape->output[d] = (padded - reach) / shape->strides[d] + 1;
    outputs *= static_cast<double>(shape->output[d]);
  }
  if (outputs > kMaxOutputs)
    return "expected an output that memory can hold, got " + std::to_string(outputs) + " values";
  return "";
}

}  // namespace lba
