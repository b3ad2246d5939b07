// The kernels of truncation, one table a path and order of sums.
#ifndef LBA_ARITHMETIC_TRUNCATE_CPU_KERNELS_H_
#define LBA_ARITHMETIC_TRUNCATE_CPU_KERNELS_H_

#include "arithmetic/chunked_float/short_cuts.h"
#include "kernels/cpu/tile.h"

namespace lba {

// For scaled operands.
#if defined(__x86_64__)
const TileKernels& TruncatingAvx512Kernels(const ShortCuts& cuts);
const TileKernels& TruncatingAvx2Kernels(const ShortCuts& cuts);
#endif
// For operands as they are.
const TileKernels& TruncatingPortableKernels(const ShortCuts& cuts);

// Those of a path, which is not kExact.
const TileKernels& TruncatingKernels(CpuPath path, const ShortCuts& cuts);

}  // namespace lba

#endif  // LBA_ARITHMETIC_TRUNCATE_CPU_KERNELS_H_
