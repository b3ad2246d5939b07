// What the statistics tell of one dot product, value by value, and which dot products are looked into.
#ifndef LBA_STATISTICS_CHAIN_H_
#define LBA_STATISTICS_CHAIN_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "lba/c_api.h"
#include "lba/fmaq.h"
#include "lba/format.h"

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
  const int exponent = static_cast<int>((BitsOf(value) >> 52) & 0x7ff);
  if (value == 0 || exponent == 0x7ff) return -1;
  const int bin = exponent - 1023 + LBA_LOG2_OFFSET;
  return bin < 0 ? 0 : bin < LBA_LOG2_BINS ? bin : LBA_LOG2_BINS - 1;
}

struct ChainFormats {
  QuantizeConstants product, accumulator;

  static ChainFormats Of(const AccumulatorSpec& spec) {
    return {QuantizeConstants::Of(spec.product_format, spec.underflow),
            QuantizeConstants::Of(spec.accumulator_format, spec.underflow)};
  }
};

struct ChainEvents {
  LbaEvents products{}, partial_sums{}, totals{};
};

// The state of one dot product: unquantized (in double) and in the specification's formats.
struct Chain {
  double exact_sum = 0, exact_total = 0;
  double sum = 0, total = 0;
};

// Q_prod(exact)
LBA_HOST_DEVICE inline double CountedProduct(double exact, const QuantizeConstants& format, LbaEvents* events) {
  const double product = Quantize(exact, format);
  ++events->values;
  events->overflows += std::fabs(exact) >= format.max_value;
  events->underflows += exact != 0 && product == 0;
  return product;
}

// Q_acc(addend + before)
LBA_HOST_DEVICE inline double CountedSum(double addend, double before, const QuantizeConstants& format,
                                         LbaEvents* events) {
  const double exact = AddTruncated(addend, before);
  const double after = Quantize(exact, format);
  const bool overflows = std::fabs(exact) >= format.max_value;
  ++events->values;
  events->overflows += overflows;
  events->underflows += exact != 0 && after == 0;
  events->swamped += addend != 0 && after == before && !overflows;
  return after;
}

// Adds the exact product of two float32 values to the partial sum. What the histograms count is `product` and
// chain->exact_sum.
LBA_HOST_DEVICE inline void AddProduct(double product, const ChainFormats& formats, Chain* chain, ChainEvents* events) {
  chain->exact_sum += product;
  const double addend = CountedProduct(product, formats.product, &events->products);
  chain->sum = CountedSum(addend, chain->sum, formats.accumulator, &events->partial_sums);
}

// Adds the partial sum to the total. What the histograms count is chain->exact_total.
LBA_HOST_DEVICE inline void EndChunk(const ChainFormats& formats, Chain* chain, ChainEvents* events) {
  chain->exact_total += chain->exact_sum;
  chain->total = CountedSum(chain->sum, chain->total, formats.accumulator, &events->totals);
  chain->exact_sum = chain->sum = 0;
}

}  // namespace lba

#endif  // LBA_STATISTICS_CHAIN_H_
