#include "kernels/cpu/integers/path.h"

#include "kernels/cpu/cpu_features.h"

namespace lba {

#if defined(__x86_64__)
const IntegerKernels& Vnni512IntegerKernels();
const IntegerKernels& Avx2IntegerKernels();
#endif
const IntegerKernels& PortableIntegerKernels();

const IntegerKernels* SelectedIntegerKernels() {
  switch (SelectedCpuPath()) {
#if defined(__x86_64__)
    case CpuPath::kAvx512:
      return ThisCpu().vnni512 ? &Vnni512IntegerKernels() : &Avx2IntegerKernels();
    case CpuPath::kAvx2:
      return &Avx2IntegerKernels();
#endif
    case CpuPath::kExact:
      return nullptr;
    default:
      return &PortableIntegerKernels();
  }
}

const char* SelectedIntegerPathName() {
  const IntegerKernels* kernels = SelectedIntegerKernels();
  if (kernels == nullptr) return CpuPathName(CpuPath::kExact);
  return kernels->path == CpuPath::kAvx512 ? "avx512_vnni" : CpuPathName(kernels->path);
}

}  // namespace lba
