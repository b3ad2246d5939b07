#include "cpu/tile.h"

namespace lba {

#if defined(__x86_64__)
const TileKernels& Avx512Kernels();
const TileKernels& Avx2Kernels();
ScalePanelKernel Avx512ScalePanel();
ScalePanelKernel Avx2ScalePanel();
#endif
const TileKernels& PortableKernels();
const TileKernels& ExactKernels();
ScalePanelKernel PortableScalePanel();

const TileKernels& KernelsOf(CpuPath path) {
#if defined(__x86_64__)
  if (path == CpuPath::kAvx512) return Avx512Kernels();
  if (path == CpuPath::kAvx2) return Avx2Kernels();
#endif
  return path == CpuPath::kExact ? ExactKernels() : PortableKernels();
}

ScalePanelKernel ScalePanelOf(CpuPath path) {
#if defined(__x86_64__)
  if (path == CpuPath::kAvx512) return Avx512ScalePanel();
  if (path == CpuPath::kAvx2) return Avx2ScalePanel();
#endif
  (void)path;
  return PortableScalePanel();
}

}  // namespace lba
