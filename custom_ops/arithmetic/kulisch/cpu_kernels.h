// The kernels of exact sums, one table a path; the exact path's takes every operand. They have no gates.
#ifndef LBA_ARITHMETIC_KULISCH_CPU_KERNELS_H_
#define LBA_ARITHMETIC_KULISCH_CPU_KERNELS_H_

#include "kernels/cpu/open_tile.h"

namespace lba {

#if defined(__x86_64__)
const TileKernels& KulischAvx512Kernels();
const TileKernels& KulischAvx2Kernels();
#endif
const TileKernels& KulischPortableKernels();
const TileKernels& KulischExactKernels();
void OpenKulischTile(const OpenTileArgs& args);

}  // namespace lba

#endif  // LBA_ARITHMETIC_KULISCH_CPU_KERNELS_H_
