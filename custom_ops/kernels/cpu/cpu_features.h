// Which instruction sets the processor has and the operating system keeps registers of.
#ifndef LBA_KERNELS_CPU_CPU_FEATURES_H_
#define LBA_KERNELS_CPU_CPU_FEATURES_H_

namespace lba {

struct CpuFeatures {
  bool avx2 = false;     // with FMA and float16 conversions
  bool avx512 = false;   // F, DQ, BW and VL
  bool vnni512 = false;  // and VNNI
};

// Read from the processor itself: what compilers offer for it differs, and with some always says no.
const CpuFeatures& ThisCpu();

}  // namespace lba

#endif  // LBA_KERNELS_CPU_CPU_FEATURES_H_
