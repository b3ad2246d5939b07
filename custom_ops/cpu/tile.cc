#include "cpu/tile.h"

#include "cpu/gates.h"

namespace lba {

#if defined(__x86_64__)
const TileKernels& Avx512Kernels();
const TileKernels& Avx2Kernels();
const GateKernels& Avx512GateKernels();
const GateKernels& Avx2GateKernels();
ScalePanelKernel Avx512ScalePanel();
ScalePanelKernel Avx2ScalePanel();
#endif
const TileKernels& PortableKernels();
const TileKernels& ExactKernels();
const GateKernels& PortableGateKernels();
const GateKernels& ExactGateKernels();
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

const GateKernels& GateKernelsOf(CpuPath path) {
#if defined(__x86_64__)
  if (path == CpuPath::kAvx512) return Avx512GateKernels();
  if (path == CpuPath::kAvx2) return Avx2GateKernels();
#endif
  return path == CpuPath::kExact ? ExactGateKernels() : PortableGateKernels();
}

}  // namespace lba
