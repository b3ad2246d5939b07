// The device instructions that the kernels name, as functions. What each does is its PTX instruction's definition.
#ifndef LBA_KERNELS_CUDA_INSTRUCTIONS_H_
#define LBA_KERNELS_CUDA_INSTRUCTIONS_H_

#include <cuda_runtime.h>

#include <cstdint>

namespace lba::cuda {

// Truncating arithmetic in which subnormal operands and results become zero, as under FpMode::kTowardZeroFlush on the
// CPU.
__device__ __forceinline__ float MultiplyTruncated(float a, float b) {
  float result;
  asm("mul.rz.ftz.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}

__device__ __forceinline__ float MultiplyAddTruncated(float a, float b, float c) {  // a * b + c, truncated once
  float result;
  asm("fma.rz.ftz.f32 %0, %1, %2, %3;" : "=f"(result) : "f"(a), "f"(b), "f"(c));
  return result;
}

__device__ __forceinline__ float AddTruncated(float a, float b) {
  float result;
  asm("add.rz.ftz.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}

// The same to nearest, ties to even: FpMode::kNearestFlush.
__device__ __forceinline__ float MultiplyNearest(float a, float b) {
  float result;
  asm("mul.rn.ftz.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}

__device__ __forceinline__ float MultiplyAddNearest(float a, float b, float c) {  // a * b + c, rounded once
  float result;
  asm("fma.rn.ftz.f32 %0, %1, %2, %3;" : "=f"(result) : "f"(a), "f"(b), "f"(c));
  return result;
}

__device__ __forceinline__ float AddNearest(float a, float b) {
  float result;
  asm("add.rn.ftz.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}

// Truncating, subnormals kept: FpMode::kTowardZero.
__device__ __forceinline__ float MultiplyTowardZero(float a, float b) {
  float result;
  asm("mul.rz.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}

__device__ __forceinline__ float AddTowardZero(float a, float b) {
  float result;
  asm("add.rz.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
  return result;
}

__device__ __forceinline__ float KeepBits(float value, uint32_t kept) {
  return __uint_as_float(__float_as_uint(value) & kept);
}

// The smaller of |value| and |largest|, truncated to the kept bits, with the sign of `value`. `largest` is the format's
// max_value with all dropped mantissa bits set: t = min(|value|, largest) then has ones in the dropped bits wherever it
// is not |value| itself, and (t & kept) | (value & ~t & ~kept) leaves of `value` its sign alone. `kept` is without the
// sign bit.
__device__ __forceinline__ float SaturateAndKeep(float value, float largest, uint32_t kept) {
  constexpr int kTable = (0xf0 & 0xcc) | (0xaa & ~0xf0 & ~0xcc & 0xff);  // of the operands t, kept, value
  float smaller;
  asm("{ .reg .f32 magnitude; abs.ftz.f32 magnitude, %1; min.ftz.f32 %0, magnitude, %2; }"
      : "=f"(smaller)
      : "f"(value), "f"(largest));
  uint32_t result;
  asm("lop3.b32 %0, %1, %2, %3, %4;"
      : "=r"(result)
      : "r"(__float_as_uint(smaller)), "r"(kept), "r"(__float_as_uint(value)), "n"(kTable));
  return __uint_as_float(result);
}

__device__ __forceinline__ float HalfToFloat(uint16_t half) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(half));
  return result;
}

__device__ __forceinline__ uint16_t FloatToHalf(float value) {  // nearest, ties to even
  uint16_t result;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result) : "f"(value));
  return result;
}

// Copies from device to shared memory that go on while the threads compute. A thread waits for its own copies; a
// barrier then shows them to the block.
__device__ __forceinline__ void CopyAsync16(void* shared, const void* global) {  // 16 bytes, aligned to 16
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(global) : "memory");
}

__device__ __forceinline__ void CopyAsync4(void* shared, const void* global) {
  const auto to = static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to), "l"(global) : "memory");
}

__device__ __forceinline__ void CommitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Until at most kPending of this thread's committed groups are still under way.
template <int kPending>
__device__ __forceinline__ void WaitForCopies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_INSTRUCTIONS_H_
