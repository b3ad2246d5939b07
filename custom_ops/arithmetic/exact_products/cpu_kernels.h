// The kernels of exact products: one table a path and rounding.
#ifndef LBA_ARITHMETIC_EXACT_PRODUCTS_CPU_KERNELS_H_
#define LBA_ARITHMETIC_EXACT_PRODUCTS_CPU_KERNELS_H_

#include "arithmetic/chunked_float/short_cuts.h"
#include "kernels/cpu/tile.h"

namespace lba {

// Powers of two that an unfused kernel's sums lie above the scale in which it rounds them (odd_arithmetic.h).
constexpr int kOddScaleLog2 = 2;

#if defined(__x86_64__)
// Of rounding to nearest: those that fuse are nearest's, the others go by way of odd.
const TileKernels& ExactNearestAvx512Kernels(const ShortCuts& cuts);
const TileKernels& ExactNearestAvx2Kernels(const ShortCuts& cuts);
#endif

}  // namespace lba

#endif  // LBA_ARITHMETIC_EXACT_PRODUCTS_CPU_KERNELS_H_
