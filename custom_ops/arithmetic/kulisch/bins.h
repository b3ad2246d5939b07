// Exact sums of products in a few doubles. All products of a tile are below 2^top, and multiples of 2^low. They are cut
// into bins of so few bits that double sums up each bin without rounding:
//
//   bin 0        multiples of 2^(top - width)
//   bin 1        what is left, multiples of 2^(top - 2 width)
//   the last     what is left then, multiples of 2^low
#ifndef LBA_ARITHMETIC_KULISCH_BINS_H_
#define LBA_ARITHMETIC_KULISCH_BINS_H_

#include <cstdint>

namespace lba {

constexpr int kMostBins = 4;

namespace {  // each instruction set has its own copy

// Bits of a bin: sums of `depth` addends of so many have at most 53, and what cuts an addend has room for them.
inline int BinBits(int64_t depth) {
  constexpr int kDoubleBits = 53, kMostBits = 50;
  int depth_log2 = 0;
  while (depth_log2 < 62 && (int64_t{1} << depth_log2) < depth) ++depth_log2;
  return kDoubleBits - depth_log2 < kMostBits ? kDoubleBits - depth_log2 : kMostBits;
}

}  // namespace

// parts[bin][i], i < count, of outputs whose exact sums they add up to, besides what these start from, if anything;
// out[i] is the rounded sum.
void FinishBins(const void* constants, const double* parts, int bins, int stride, int count, const float* starts,
                float* out);

}  // namespace lba

#endif  // LBA_ARITHMETIC_KULISCH_BINS_H_
