// What the statistics tell of one dot product of chunked floats, value by value.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_STATISTICS_CHAIN_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_STATISTICS_CHAIN_H_

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "arithmetic/chunked_float/definition.h"
#include "arithmetic/chunked_float/spec.h"
#include "arithmetic/levels.h"
#include "common/levels.h"

namespace lba {

// The events of a sum, in the order of their names; a product has the first two.
enum FloatEvent { kOverflow, kUnderflow, kSwamped };

// With subnormals, both may be one; exact products have no events.
inline Levels ChunkedFloatLevels(const AccumulatorSpec& spec) {
  std::vector<std::string> of_products = {"overflow", "underflow"}, of_sums = {"overflow", "underflow", "swamped"};
  if (spec.accumulator_format.has_subnormals) {
    of_products.push_back("subnormal");
    of_sums.push_back("subnormal");
  }
  if (spec.exact_products) of_products.clear();
  return NamedLevels(spec.Groups(1).count, of_products, of_sums);
}

// Q_prod(exact)
LBA_HOST_DEVICE inline double CountedProduct(double exact, const QuantizeConstants& format, LevelEvents* counts) {
  const double product = Quantize(exact, format);
  ++counts->values;
  counts->events[kOverflow] += std::fabs(product) == format.max_value;
  counts->events[kUnderflow] += exact != 0 && product == 0;
  return product;
}

// Q_acc(addend + before)
LBA_HOST_DEVICE inline double CountedSum(double addend, double before, const QuantizeConstants& format,
                                         LevelEvents* counts) {
  const double exact = AddToOdd(addend, before);
  const double after = Quantize(exact, format);
  const bool overflows = std::fabs(after) == format.max_value;
  ++counts->values;
  counts->events[kOverflow] += overflows;
  counts->events[kUnderflow] += exact != 0 && after == 0;
  counts->events[kSwamped] += addend != 0 && after == before && !overflows;
  return after;
}

// Follows dot products unquantized, in double, and in the formats of a specification.
struct ChunkedFloatChains {
  static constexpr int kEvents = 3;  // of a level, at most

  ChunkedFloatConstants formats;

  // The state of one dot product: its sums (common/levels.h).
  struct Chain {
    double exact_sums[kMaxSums]{}, sums[kMaxSums]{};
  };

  void Start(int n, float value, int64_t, Chain* chain) const { chain->sums[n] = Quantize(value, formats.accumulator); }

  // Adds the exact product of two float32 values to sum 0. What the histograms count is it and chain->exact_sums[0].
  LBA_HOST_DEVICE void AddProduct(double exact, Chain* chain, ChainEvents* events) const {
    chain->exact_sums[0] += exact;
    const double addend = CountedProduct(exact, formats.product, &events->levels[0]);
    chain->sums[0] = CountedSum(addend, chain->sums[0], formats.accumulator, &events->levels[1]);
  }
  LBA_HOST_DEVICE void AddProduct(float x, float w, Chain* chain, ChainEvents* events) const {
    AddProduct(static_cast<double>(x) * static_cast<double>(w), chain, events);
  }

  // Adds sum n to the next. What the histograms count is chain->exact_sums[n + 1].
  LBA_HOST_DEVICE void EndGroup(int n, Chain* chain, ChainEvents* events) const {
    chain->exact_sums[n + 1] += chain->exact_sums[n];
    chain->sums[n + 1] = CountedSum(chain->sums[n], chain->sums[n + 1], formats.accumulator, &events->levels[n + 2]);
    chain->exact_sums[n] = chain->sums[n] = 0;
  }
};

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_STATISTICS_CHAIN_H_
