// Which dot products the statistics look into value by value, and the bins of their histograms.
#ifndef LBA_COMMON_SAMPLING_H_
#define LBA_COMMON_SAMPLING_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "common/host_device.h"
#include "lba/c_api.h"

namespace lba {

// The positions (rows of a matrix, output positions of a convolution) that one call looks into: first, first + step,
// and so on, `count` in all.
struct SampledPositions {
  int64_t first, step, count;

  // Of at least one position. The first depends on `call`: it walks through the residues of the step by the golden
  // ratio, so that repeated calls see other positions.
  static SampledPositions Of(int64_t positions, int64_t call, double sampled_fraction) {
    const int64_t step = std::max<int64_t>(1, std::llround(std::min(1.0 / sampled_fraction, 0x1p62)));
    const int64_t start = std::llround(std::fmod(static_cast<double>(call) * 0.6180339887498949, 1.0) * 1e6) % step;
    const int64_t first = std::min(start, positions - 1);
    return {first, std::min(step, positions), (positions - 1 - first) / step + 1};
  }
};

// floor(log2|value|) as a bin of a histogram, or -1 for zero, infinity and NaN, which no bin counts.
LBA_HOST_DEVICE inline int Log2Bin(double value) {
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const int exponent = static_cast<int>((bits >> 52) & 0x7ff);
  if (value == 0 || exponent == 0x7ff) return -1;
  const int bin = exponent - 1023 + LBA_LOG2_OFFSET;
  return bin < 0 ? 0 : bin < LBA_LOG2_BINS ? bin : LBA_LOG2_BINS - 1;
}

}  // namespace lba

#endif  // LBA_COMMON_SAMPLING_H_
