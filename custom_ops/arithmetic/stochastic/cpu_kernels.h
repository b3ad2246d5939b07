// The kernels of stochastic rounding with exact products. They have no direct kernels: these are not told places.
#ifndef LBA_ARITHMETIC_STOCHASTIC_CPU_KERNELS_H_
#define LBA_ARITHMETIC_STOCHASTIC_CPU_KERNELS_H_

#include <cstdint>

#include "arithmetic/chunked_float/short_cuts.h"
#include "kernels/cpu/tile.h"

namespace lba {

struct StochasticConstants {
  TileConstants tile;
  uint64_t seed = 0;
  int random_bits = 0;
};

#if defined(__x86_64__)
const TileKernels& StochasticAvx512Kernels();
const TileKernels& StochasticAvx2Kernels();
#endif

}  // namespace lba

#endif  // LBA_ARITHMETIC_STOCHASTIC_CPU_KERNELS_H_
