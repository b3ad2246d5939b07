// What the statistics tell of one dot product of chunked floats, value by value.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_STATISTICS_CHAIN_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_STATISTICS_CHAIN_H_

#include <cmath>
#include <cstdint>

#include "arithmetic/chunked_float/definition.h"
#include "arithmetic/chunked_float/spec.h"
#include "common/sampling.h"

namespace lba {

// Q_prod(exact)
LBA_HOST_DEVICE inline double CountedProduct(double exact, const QuantizeConstants& format, LbaEvents* events) {
  const double product = Quantize(exact, format);
  ++events->values;
  events->overflows += std::fabs(product) == format.max_value;
  events->underflows += exact != 0 && product == 0;
  return product;
}

// Q_acc(addend + before)
LBA_HOST_DEVICE inline double CountedSum(double addend, double before, const QuantizeConstants& format,
                                         LbaEvents* events) {
  const double exact = AddToOdd(addend, before);
  const double after = Quantize(exact, format);
  const bool overflows = std::fabs(after) == format.max_value;
  ++events->values;
  events->overflows += overflows;
  events->underflows += exact != 0 && after == 0;
  events->swamped += addend != 0 && after == before && !overflows;
  return after;
}

// Follows dot products unquantized, in double, and in the formats of a specification.
struct ChunkedFloatChains {
  ChunkedFloatConstants formats;

  // The state of one dot product.
  struct Chain {
    double exact_sum = 0, exact_total = 0;
    double sum = 0, total = 0;
  };

  // Adds the exact product of two float32 values to the partial sum. What the histograms count is it and
  // chain->exact_sum.
  LBA_HOST_DEVICE void AddProduct(double exact, Chain* chain, ChainEvents* events) const {
    chain->exact_sum += exact;
    const double addend = CountedProduct(exact, formats.product, &events->products);
    chain->sum = CountedSum(addend, chain->sum, formats.accumulator, &events->partial_sums);
  }
  LBA_HOST_DEVICE void AddProduct(float x, float w, Chain* chain, ChainEvents* events) const {
    AddProduct(static_cast<double>(x) * static_cast<double>(w), chain, events);
  }

  // Adds the partial sum to the total. What the histograms count is chain->exact_total.
  LBA_HOST_DEVICE void EndChunk(Chain* chain, ChainEvents* events) const {
    chain->exact_total += chain->exact_sum;
    chain->total = CountedSum(chain->sum, chain->total, formats.accumulator, &events->totals);
    chain->exact_sum = chain->sum = 0;
  }
};

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_STATISTICS_CHAIN_H_
