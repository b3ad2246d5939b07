#include <string>

#include "common/sizes.h"
#include "lba/conv.h"

namespace lba {
namespace {

// Empty, or what is too large about a shape whose sizes are in order one by one.
std::string CheckProducts(const ConvShape& s) {
  const double images = ProductOf({s.in_channels, s.input[0], s.input[1], s.input[2], s.batch});
  const double filters = ProductOf({s.in_channels, s.kernel[0], s.kernel[1], s.kernel[2], s.out_channels});
  const double outputs = ProductOf({s.output[0], s.output[1], s.output[2], s.batch, s.out_channels});
  for (const double values : {images, filters, outputs}) {
    if (values > kMaxValues) return "expected arrays that memory can hold, got " + std::to_string(values) + " values";
  }
  const double multiplies = outputs * ProductOf({s.group_in_channels(), s.kernel[0], s.kernel[1], s.kernel[2]});
  if (multiplies > kMaxMultiplies) return "expected at most 2^62 products, got " + std::to_string(multiplies);
  return "";
}

}  // namespace

std::string CompleteConvShape(ConvShape* shape) {
  for (const int64_t size :
       {shape->batch, shape->in_channels, shape->out_channels, shape->input[0], shape->input[1], shape->input[2]}) {
    if (size < 0) return "expected sizes of 0 or more, got " + std::to_string(size);
    if (size > kMaxSize) return "expected sizes below 2^31, got " + std::to_string(size);
  }
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
    for (const int64_t size :
         {shape->kernel[d], shape->strides[d], shape->dilations[d], shape->pads_begin[d], shape->pads_end[d]}) {
      if (size > kMaxSize) return "expected sizes below 2^31, got " + std::to_string(size);
    }
    const int64_t padded = shape->input[d] + shape->pads_begin[d] + shape->pads_end[d];
    const int64_t reach = (shape->kernel[d] - 1) * shape->dilations[d] + 1;
    if (padded < reach) {
      return "expected a kernel that fits the padded input, got a kernel that spans " + std::to_string(reach) + " of " +
             std::to_string(padded);
    }
    shape->output[d] = (padded - reach) / shape->strides[d] + 1;
  }
  return CheckProducts(*shape);
}

}  // namespace lba
