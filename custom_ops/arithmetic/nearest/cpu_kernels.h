// The kernels of rounding to nearest, one table a path.
#ifndef LBA_ARITHMETIC_NEAREST_CPU_KERNELS_H_
#define LBA_ARITHMETIC_NEAREST_CPU_KERNELS_H_

#include "kernels/cpu/tile.h"

namespace lba {

// For scaled operands. flushes_sums: as ShortCuts says.
#if defined(__x86_64__)
const TileKernels& NearestAvx512Kernels(bool flushes_sums);
const TileKernels& NearestAvx2Kernels(bool flushes_sums);
#endif
// For operands as they are.
const TileKernels& NearestPortableKernels();

}  // namespace lba

#endif  // LBA_ARITHMETIC_NEAREST_CPU_KERNELS_H_
