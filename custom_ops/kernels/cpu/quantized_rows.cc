#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/cpu/fp_environment.h"
#include "lba/block_quantized.h"

namespace lba {
namespace {

constexpr float kLargestCode = 127;
constexpr float kWholeNumbers = 0x1.8p23f;  // beside it float32 has no fractions: adding it rounds to a whole number

float LargestMagnitude(const float* values, int64_t count) {
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    const float magnitude = std::fabs(values[i]);
    if (!(magnitude <= largest)) largest = magnitude;
    if (std::isnan(largest)) break;
  }
  return largest;
}

void QuantizeBlock(const float* values, int64_t count, float* out) {
  const float largest = LargestMagnitude(values, count);
  const float step = largest / kLargestCode, inverse = kLargestCode / largest;
  if (!std::isfinite(largest)) {
    std::fill_n(out, count, std::numeric_limits<float>::quiet_NaN());
  } else if (!std::isfinite(inverse)) {
    std::fill_n(out, count, 0.0f);
  } else {
    for (int64_t i = 0; i < count; ++i) out[i] = (values[i] * inverse + kWholeNumbers - kWholeNumbers) * step;
  }
}

// Not inlined, so that nothing moves out of the scope that sets the rounding mode.
__attribute__((noinline)) void QuantizeRow(int64_t depth, int64_t block_size, const float* a, float* out) {
  for (int64_t k = 0; k < depth; k += block_size) {
    QuantizeBlock(a + k, std::min(block_size, depth - k), out + k);
  }
}

}  // namespace

void QuantizeRows(int64_t rows, int64_t depth, int64_t block_size, const float* a, float* out,
                  const Parallel& parallel) {
  constexpr int64_t kRowsOfTask = 16;
  RunTasks(parallel, (rows + kRowsOfTask - 1) / kRowsOfTask, [&](int64_t task) {
    const FpScope scope(FpMode::kNearest);
    for (int64_t row = task * kRowsOfTask; row < std::min((task + 1) * kRowsOfTask, rows); ++row) {
      QuantizeRow(depth, block_size, a + row * depth, out + row * depth);
    }
  });
}

}  // namespace lba
