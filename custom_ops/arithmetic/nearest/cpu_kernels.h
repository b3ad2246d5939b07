// The kernels of rounding to nearest, one table a path and order of sums.
#ifndef LBA_ARITHMETIC_NEAREST_CPU_KERNELS_H_
#define LBA_ARITHMETIC_NEAREST_CPU_KERNELS_H_

#include "arithmetic/chunked_float/short_cuts.h"
#include "kernels/cpu/tile.h"

namespace lba {

// For scaled operands.
#if defined(__x86_64__)
const TileKernels& NearestAvx512Kernels(const ShortCuts& cuts);
const TileKernels& NearestAvx2Kernels(const ShortCuts& cuts);
#endif
// For operands as they are.
const TileKernels& NearestPortableKernels(const ShortCuts& cuts);

// Those of a path, which is not kExact.
const TileKernels& NearestKernels(CpuPath path, const ShortCuts& cuts);

}  // namespace lba

#endif  // LBA_ARITHMETIC_NEAREST_CPU_KERNELS_H_
