// custom_ops/cuda/instructions.h for the emulation: the same functions, by x86 instructions whose control word says
// what the PTX instruction's name says. NaN results are PTX's one NaN.
#ifndef LBA_KERNELS_CUDA_INSTRUCTIONS_H_
#define LBA_KERNELS_CUDA_INSTRUCTIONS_H_

#include <cuda_runtime.h>
#include <emmintrin.h>

#include <cmath>
#include <cstdint>

#include "async_copy.h"

namespace lba::cuda {

namespace emulated {

// Values of MXCSR. All exceptions are masked.
inline constexpr uint32_t kNearest = 0x1f80;
inline constexpr uint32_t kNearestFlush = kNearest | 0x8000 | 0x0040;  // results and operands
inline constexpr uint32_t kTruncate = kNearest | 0x6000;
inline constexpr uint32_t kTruncateFlush = kTruncate | 0x8000 | 0x0040;  // results and operands

inline float Canonical(float value) { return std::isnan(value) ? __uint_as_float(0x7fffffff) : value; }

inline float Multiply(float a, float b, const uint32_t& mode) {
  asm volatile("ldmxcsr %2; mulss %1, %0; ldmxcsr %3" : "+x"(a) : "x"(b), "m"(mode), "m"(kNearest));
  return Canonical(a);
}

inline float Add(float a, float b, const uint32_t& mode) {
  asm volatile("ldmxcsr %2; addss %1, %0; ldmxcsr %3" : "+x"(a) : "x"(b), "m"(mode), "m"(kNearest));
  return Canonical(a);
}

inline float MultiplyAdd(float a, float b, float c, const uint32_t& mode) {
  asm volatile("ldmxcsr %3; vfmadd231ss %2, %1, %0; ldmxcsr %4" : "+x"(c) : "x"(a), "x"(b), "m"(mode), "m"(kNearest));
  return Canonical(c);
}

inline float Flushed(float value) { return std::fabs(value) < 0x1p-126f ? std::copysign(0.0f, value) : value; }

}  // namespace emulated

inline float MultiplyTruncated(float a, float b) { return emulated::Multiply(a, b, emulated::kTruncateFlush); }

inline float MultiplyAddTruncated(float a, float b, float c) {
  return emulated::MultiplyAdd(a, b, c, emulated::kTruncateFlush);
}

inline float AddTruncated(float a, float b) { return emulated::Add(a, b, emulated::kTruncateFlush); }
inline float MultiplyNearest(float a, float b) { return emulated::Multiply(a, b, emulated::kNearestFlush); }
inline float MultiplyAddNearest(float a, float b, float c) {
  return emulated::MultiplyAdd(a, b, c, emulated::kNearestFlush);
}
inline float AddNearest(float a, float b) { return emulated::Add(a, b, emulated::kNearestFlush); }
inline float MultiplyTowardZero(float a, float b) { return emulated::Multiply(a, b, emulated::kTruncate); }
inline float AddTowardZero(float a, float b) { return emulated::Add(a, b, emulated::kTruncate); }

inline float KeepBits(float value, uint32_t kept) { return __uint_as_float(__float_as_uint(value) & kept); }

inline float SaturateAndKeep(float value, float largest, uint32_t kept) {
  const float magnitude = emulated::Flushed(std::fabs(value)), bound = emulated::Flushed(largest);
  const float smaller = std::isnan(magnitude) || bound < magnitude ? bound : magnitude;  // min gives what is no NaN
  const uint32_t t = __float_as_uint(smaller);
  return __uint_as_float((t & kept) | (__float_as_uint(value) & ~t & ~kept));
}

inline float HalfToFloat(uint16_t half) {
  float result;
  asm("vcvtph2ps %1, %0" : "=x"(result) : "x"(_mm_cvtsi32_si128(half)));
  return result;
}

inline uint16_t FloatToHalf(float value) {
  __m128i result;
  asm("vcvtps2ph $0, %1, %0" : "=x"(result) : "x"(_mm_set_ss(value)));
  return static_cast<uint16_t>(_mm_cvtsi128_si32(result));
}

inline void CopyAsync16(void* shared, const void* global) { cuda_emulation::StartCopy(shared, global, 16); }

inline void CopyAsync4(void* shared, const void* global) { cuda_emulation::StartCopy(shared, global, 4); }

inline void CommitCopies() { cuda_emulation::CommitCopies(); }

template <int kPending>
void WaitForCopies() {
  cuda_emulation::WaitForCopies(kPending);
}

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_INSTRUCTIONS_H_
