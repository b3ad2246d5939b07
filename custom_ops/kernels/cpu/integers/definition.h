// Integer products by the definition, one value at a time: the path "exact", and what all others are tested against.
#ifndef LBA_KERNELS_CPU_INTEGERS_DEFINITION_H_
#define LBA_KERNELS_CPU_INTEGERS_DEFINITION_H_

#include <cstdint>
#include <vector>

#include "kernels/cpu/integers/chains.h"

namespace lba {

// One side of a product: vectors of codes and what each of their zero points is taken for.
struct ProductSide {
  CodeVectors vectors;
  const Codes& codes;
  int64_t first = 0;  // of its vectors among those that have zero points
};

// A vector as it is accumulated, and what corrections need of it.
struct LoadedChain {
  std::vector<int16_t> values;
  int64_t sum = 0;
  int64_t offset = 0;  // of the values from codes less zero points
};

// The sum in the accumulator, made that of (x - zero point) * (w - zero point) modulo 2^32, or 2^64 of wide sums.
int64_t CorrectedSum(const IntegerSums& sums, const LoadedChain& x, const LoadedChain& w, int64_t depth);

LoadedChain LoadX(const IntegerSums& sums, const ProductSide& x, int64_t vector);
LoadedChain LoadW(const IntegerSums& sums, const ProductSide& w, int64_t vector);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_DEFINITION_H_
