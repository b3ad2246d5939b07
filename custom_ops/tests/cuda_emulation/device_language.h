// What device code says beyond C++: qualifiers, its place in the grid, barriers, exchanges in a warp, atomics.
#ifndef LBA_TESTS_CUDA_EMULATION_DEVICE_LANGUAGE_H_
#define LBA_TESTS_CUDA_EMULATION_DEVICE_LANGUAGE_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(bytes) alignas(bytes)
// Every launch has a host thread of its own, so that these variables can be found and filled (launch.cc).
#define __shared__ static thread_local

struct uint3 {
  unsigned x = 0, y = 0, z = 0;
};

struct alignas(16) float4 {
  float x, y, z, w;
};

struct dim3 {
  constexpr dim3(unsigned x_size = 1, unsigned y_size = 1, unsigned z_size = 1) : x(x_size), y(y_size), z(z_size) {}
  unsigned x, y, z;
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;

// Waits for all threads of the block.
void __syncthreads();

namespace lba::cuda_emulation {

// Waits for all threads of the warp; returns what the thread `lane_mask` lanes away brought.
uint64_t Exchange(unsigned participants, uint64_t value, int lane_mask);

}  // namespace lba::cuda_emulation

template <class T>
T __shfl_xor_sync(unsigned participants, T value, int lane_mask) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8, "CUDA exchanges 4 or 8 bytes");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = lba::cuda_emulation::Exchange(participants, bits, lane_mask);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// One thread runs at a time, so these are atomic as they stand. They return the value before.
template <class T>
T atomicMax(T* at, T value) {
  static_assert(std::is_integral<T>::value, "CUDA compares integers");
  const T before = *at;
  *at = std::max(before, value);
  return before;
}

template <class T>
T atomicAdd(T* at, T value) {
  const T before = *at;
  *at = before + value;
  return before;
}

inline unsigned atomicOr(unsigned* at, unsigned value) {
  const unsigned before = *at;
  *at = before | value;
  return before;
}

inline uint32_t __float_as_uint(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline float __uint_as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

#endif  // LBA_TESTS_CUDA_EMULATION_DEVICE_LANGUAGE_H_
