#include "kernels/cpu/integers/path.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lba {

#if defined(__x86_64__)
const IntegerKernels& Vnni512IntegerKernels();
const IntegerKernels& Avx2IntegerKernels();
#endif
const IntegerKernels& PortableIntegerKernels();

namespace {

#if defined(__x86_64__)
// __builtin_cpu_supports knows it from some compilers' newer versions on only.
bool HasVnni512() {
  constexpr unsigned kVnni = 1u << 11;
  static const bool has = [] {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (c & kVnni) != 0;
  }();
  return has;
}
#endif

}  // namespace

const IntegerKernels* SelectedIntegerKernels() {
  switch (SelectedCpuPath()) {
#if defined(__x86_64__)
    case CpuPath::kAvx512:
      return HasVnni512() ? &Vnni512IntegerKernels() : &Avx2IntegerKernels();
    case CpuPath::kAvx2:
      return &Avx2IntegerKernels();
#endif
    case CpuPath::kExact:
      return nullptr;
    default:
      return &PortableIntegerKernels();
  }
}

}  // namespace lba
