// The kernels of truncation, one table a path.
#ifndef LBA_ARITHMETIC_TRUNCATE_CPU_KERNELS_H_
#define LBA_ARITHMETIC_TRUNCATE_CPU_KERNELS_H_

#include "kernels/cpu/tile.h"

namespace lba {

// For scaled operands.
#if defined(__x86_64__)
const TileKernels& TruncatingAvx512Kernels();
const TileKernels& TruncatingAvx2Kernels();
#endif
// For operands as they are.
const TileKernels& TruncatingPortableKernels();

}  // namespace lba

#endif  // LBA_ARITHMETIC_TRUNCATE_CPU_KERNELS_H_
