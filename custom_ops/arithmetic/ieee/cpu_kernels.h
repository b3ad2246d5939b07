// The kernels of IEEE 754's formats, one table a path. They have no gates: the definition's kernels follow chains a
// second time.
#ifndef LBA_ARITHMETIC_IEEE_CPU_KERNELS_H_
#define LBA_ARITHMETIC_IEEE_CPU_KERNELS_H_

#include "kernels/cpu/tile.h"

namespace lba {

// What IEEE 754's chains do at each step.
enum class IeeeChain {
  kFusedFloat32,
  kFusedFloat16,
  kFusedBfloat16,
  kRoundedFloat16,  // a product, then a sum
};
constexpr int kIeeeChains = 4;

#if defined(__x86_64__)
const TileKernels& IeeeAvx512Kernels(IeeeChain chain);
const TileKernels& IeeeAvx2Kernels(IeeeChain chain);
#endif
const TileKernels& IeeePortableKernels();  // of kFusedFloat32

}  // namespace lba

#endif  // LBA_ARITHMETIC_IEEE_CPU_KERNELS_H_
