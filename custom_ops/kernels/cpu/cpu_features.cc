#include "kernels/cpu/cpu_features.h"

#include <cstdint>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lba {
namespace {

#if defined(__x86_64__)

constexpr uint32_t Bit(int i) { return uint32_t{1} << i; }

bool Holds(uint64_t value, uint64_t bits) { return (value & bits) == bits; }

// What the operating system saves of vector registers when it switches threads (XCR0).
uint64_t SavedRegisters() {
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

CpuFeatures Read() {
  constexpr uint32_t kFma = Bit(12), kSavesRegisters = Bit(27), kAvx = Bit(28), kF16c = Bit(29);           // leaf 1, c
  constexpr uint32_t kAvx2 = Bit(5), kAvx512 = Bit(16) | Bit(17) | Bit(30) | Bit(31), kVnni512 = Bit(11);  // leaf 7
  constexpr uint64_t kYmm = Bit(1) | Bit(2), kZmm = kYmm | Bit(5) | Bit(6) | Bit(7);
  uint32_t a, b, c, d, leaf1_c;
  CpuFeatures features;
  if (__get_cpuid(1, &a, &b, &leaf1_c, &d) == 0 || !Holds(leaf1_c, kSavesRegisters | kAvx)) return features;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return features;
  const uint64_t saved = SavedRegisters();
  features.avx2 = Holds(saved, kYmm) && Holds(leaf1_c, kFma | kF16c) && Holds(b, kAvx2);
  features.avx512 = features.avx2 && Holds(saved, kZmm) && Holds(b, kAvx512);
  features.vnni512 = features.avx512 && Holds(c, kVnni512);
  return features;
}

#else

CpuFeatures Read() { return {}; }

#endif

}  // namespace

const CpuFeatures& ThisCpu() {
  static const CpuFeatures features = Read();
  return features;
}

}  // namespace lba
