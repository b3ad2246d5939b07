// Convolution with a low bit-width accumulator.
#ifndef LBA_CONV_H_
#define LBA_CONV_H_

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "arithmetic/accumulator.h"
#include "lba/parallel.h"
#include "lba/starts.h"
#include "lba/statistics.h"

namespace lba {

// Always three spatial dimensions: lower ranks are padded in front with input = kernel = output = 1.
struct ConvShape {
  int64_t batch = 1, in_channels = 1, out_channels = 1, groups = 1;
  std::array<int64_t, 3> input{1, 1, 1}, kernel{1, 1, 1}, strides{1, 1, 1}, dilations{1, 1, 1};
  std::array<int64_t, 3> pads_begin{0, 0, 0}, pads_end{0, 0, 0};
  std::array<int64_t, 3> output{1, 1, 1};

  int64_t group_in_channels() const { return in_channels / groups; }
  int64_t group_out_channels() const { return out_channels / groups; }
  int64_t depth() const { return group_in_channels() * kernel[0] * kernel[1] * kernel[2]; }
  int64_t input_size() const { return input[0] * input[1] * input[2]; }
  int64_t output_size() const { return output[0] * output[1] * output[2]; }
};

// Fills shape->output from the rest. Returns an empty string, or what is wrong with the shape.
std::string CompleteConvShape(ConvShape* shape);

// The weights laid out for the kernel of this CPU. Immutable; shared between concurrent calls.
class PackedFilter;

// w: [out_channels, in_channels / groups, kernel...], contiguous. Reads the channels, groups and kernel of `shape`
// only.
std::shared_ptr<const PackedFilter> PackFilter(const Accumulator& accumulator, const ConvShape& shape, const float* w);

// x [batch, in_channels, input...], y [batch, out_channels, output...], bias [out_channels] or null, contiguous.
// `packed` may be null; `w` is needed either way. `statistics` may be null. Throws std::invalid_argument for starts
// where the accumulator knows none.
void Conv(const Accumulator& accumulator, const ConvShape& shape, const float* x, const float* w,
          const PackedFilter* packed, const float* bias, float* y, const Parallel& parallel,
          StatisticsCollector* statistics, const Starts& starts = {});

// What Conv does after the products, for a y that another processor computed: counts the call, or shows it to the
// observer, who may write y, then adds the bias. `bias` and `statistics` may be null.
void FinishConv(const Accumulator& accumulator, const ConvShape& shape, const float* x, const float* w,
                const float* bias, float* y, const Parallel& parallel, StatisticsCollector* statistics,
                const Starts& starts = {});

}  // namespace lba

#endif  // LBA_CONV_H_
