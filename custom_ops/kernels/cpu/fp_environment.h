// The floating-point environment of the calling thread, set for a scope and restored after it.
#ifndef LBA_KERNELS_CPU_FP_ENVIRONMENT_H_
#define LBA_KERNELS_CPU_FP_ENVIRONMENT_H_

#include <cfenv>
#include <cstdint>

namespace lba {

enum class FpMode {
  kNearest,          // round to nearest even, subnormals kept
  kNearestFlush,     // round to nearest even, subnormal operands and results become zero (x86 only)
  kTowardZero,       // truncate, subnormals kept
  kTowardZeroFlush,  // truncate, subnormal operands and results become zero (x86 only)
  kUpward,           // toward infinity, subnormals kept (x86 only)
  kUpwardFlush,      // toward infinity, subnormal operands and results become zero (x86 only)
};

// Compilers do not treat a change of the mode as a barrier: do floating-point work inside a scope only through calls
// that cannot be inlined (kernels are reached through function pointers).
class FpScope {
 public:
  explicit FpScope(FpMode mode);
  ~FpScope();
  FpScope(const FpScope&) = delete;
  FpScope& operator=(const FpScope&) = delete;

 private:
#if defined(__x86_64__)
  uint32_t saved_;
#else
  std::fenv_t saved_;
#endif
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_FP_ENVIRONMENT_H_
