// The kernels of stochastic rounding. They have no direct kernels: these are not told places.
#ifndef LBA_ARITHMETIC_STOCHASTIC_CPU_KERNELS_H_
#define LBA_ARITHMETIC_STOCHASTIC_CPU_KERNELS_H_

#include <cstdint>

#include "arithmetic/chunked_float/short_cuts.h"
#include "kernels/cpu/tile.h"

namespace lba {

struct StochasticConstants {
  TileConstants tile;
  float up = 1, down = 1;  // from the scale of the sums to that of the rounded, or exact, products, and back
  uint64_t seed = 0;
  int random_bits = 0;
};

// A table a way of products: those of exact products form sums in their scale where they are not fused; those of
// rounded products where the specification rescales.
enum class StochasticProducts { kExact, kScaled, kRescaled };

#if defined(__x86_64__)
const TileKernels& StochasticAvx512Kernels(StochasticProducts products);
const TileKernels& StochasticAvx2Kernels(StochasticProducts products);
#endif

}  // namespace lba

#endif  // LBA_ARITHMETIC_STOCHASTIC_CPU_KERNELS_H_
