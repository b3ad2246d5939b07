#include "kernels/cpu/integers/epilogue.h"

#include <cmath>
#include <limits>
#include <type_traits>

namespace lba {
namespace {

float Scaled(const IntegerEpilogue& epilogue, float sum, int64_t channel) {
  return sum * epilogue.scales[epilogue.has_many_scales ? channel : 0];
}

template <class Code>
Code Quantized(const IntegerEpilogue& epilogue, float value) {
  const float least = static_cast<float>(std::numeric_limits<Code>::min() - epilogue.zero_point);
  const float most = static_cast<float>(std::numeric_limits<Code>::max() - epilogue.zero_point);
  const float above = value > least ? value : least;  // NaN becomes the least
  const float clamped = above < most ? above : most;
  return static_cast<Code>(static_cast<int>(std::nearbyint(clamped)) + epilogue.zero_point);
}

template <class Sum>
Sum WithBias(const IntegerEpilogue& epilogue, Sum sum, int64_t channel) {
  using Unsigned = std::make_unsigned_t<Sum>;
  if (epilogue.bias == nullptr) return sum;
  return static_cast<Sum>(static_cast<Unsigned>(sum) + static_cast<Unsigned>(Sum{epilogue.bias[channel]}));
}

float WithFloatBias(const IntegerEpilogue& epilogue, float value, int64_t channel) {
  return epilogue.float_bias == nullptr ? value : value + epilogue.float_bias[channel];
}

template <class Sum>
void WriteResult(const IntegerEpilogue& epilogue, Sum sum, int64_t channel, int64_t index, void* y) {
  sum = WithBias(epilogue, sum, channel);
  const auto scaled = [&] { return Scaled(epilogue, static_cast<float>(sum), channel); };
  switch (epilogue.output) {
    case IntegerOutput::kInt32:
      static_cast<int32_t*>(y)[index] = static_cast<int32_t>(sum);
      break;
    case IntegerOutput::kInt64:
      static_cast<int64_t*>(y)[index] = sum;
      break;
    case IntegerOutput::kFloat32:
      static_cast<float*>(y)[index] = WithFloatBias(epilogue, scaled(), channel);
      break;
    case IntegerOutput::kUint8:
      static_cast<uint8_t*>(y)[index] = Quantized<uint8_t>(epilogue, scaled());
      break;
    case IntegerOutput::kInt8:
      static_cast<int8_t*>(y)[index] = Quantized<int8_t>(epilogue, scaled());
      break;
  }
}

}  // namespace

template <class Sum>
void WriteResults(const IntegerEpilogue& epilogue, const Sum* sums, int64_t count, int64_t channel,
                  int64_t channel_step, int64_t first, void* y) {
  for (int64_t i = 0; i < count; ++i) {
    WriteResult(epilogue, sums[i], channel + i * channel_step, first + i, y);
  }
}

template void WriteResults(const IntegerEpilogue&, const int32_t*, int64_t, int64_t, int64_t, int64_t, void*);
template void WriteResults(const IntegerEpilogue&, const int64_t*, int64_t, int64_t, int64_t, int64_t, void*);

}  // namespace lba
