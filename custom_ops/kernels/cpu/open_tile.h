// A tile followed once more for gradients by the definition of its arithmetic, in any order of sums and for any
// estimator, where a path has no kernels of gates.h.
#ifndef LBA_KERNELS_CPU_OPEN_TILE_H_
#define LBA_KERNELS_CPU_OPEN_TILE_H_

#include <cstdint>

#include "kernels/cpu/tile.h"

namespace lba {

// The bits of what the estimator gates are cleared, and tile.out becomes the sums.
struct OpenTileArgs {
  TileArgs tile;  // starts are as they were given
  Estimator estimator;
  uint32_t* open;  // [depth + 1][kRowPanel], bits as in GateArgs; k = depth stands for what sums start from
};

using OpenTileKernel = void (*)(const OpenTileArgs&);  // under FpMode::kNearest

}  // namespace lba

#endif  // LBA_KERNELS_CPU_OPEN_TILE_H_
