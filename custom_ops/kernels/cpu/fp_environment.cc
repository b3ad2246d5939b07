#include "kernels/cpu/fp_environment.h"

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace lba {

#if defined(__x86_64__)

namespace {

constexpr uint32_t kMaskExceptions = 0x1f80;
constexpr uint32_t kRoundTowardZero = 0x6000;
constexpr uint32_t kRoundUpward = 0x4000;
constexpr uint32_t kFlushResults = 0x8000;
constexpr uint32_t kFlushOperands = 0x0040;

uint32_t ControlWord(FpMode mode) {
  switch (mode) {
    case FpMode::kNearest:
      return kMaskExceptions;
    case FpMode::kNearestFlush:
      return kMaskExceptions | kFlushResults | kFlushOperands;
    case FpMode::kTowardZero:
      return kMaskExceptions | kRoundTowardZero;
    case FpMode::kTowardZeroFlush:
      return kMaskExceptions | kRoundTowardZero | kFlushResults | kFlushOperands;
    case FpMode::kUpward:
      return kMaskExceptions | kRoundUpward;
    case FpMode::kUpwardFlush:
      return kMaskExceptions | kRoundUpward | kFlushResults | kFlushOperands;
  }
  return kMaskExceptions;
}

}  // namespace

FpScope::FpScope(FpMode mode) : saved_(_mm_getcsr()) { _mm_setcsr(ControlWord(mode)); }

FpScope::~FpScope() { _mm_setcsr(saved_); }

#else

FpScope::FpScope(FpMode mode) {
  std::fegetenv(&saved_);
  std::fesetenv(FE_DFL_ENV);
  if (mode == FpMode::kTowardZero || mode == FpMode::kTowardZeroFlush) std::fesetround(FE_TOWARDZERO);
}

FpScope::~FpScope() { std::fesetenv(&saved_); }

#endif

}  // namespace lba
