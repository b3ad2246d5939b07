// Ranges of values, gathered by all threads of a block.
#ifndef LBA_KERNELS_CUDA_RANGE_REDUCTION_H_
#define LBA_KERNELS_CUDA_RANGE_REDUCTION_H_

#include <cuda_runtime.h>

#include "kernels/cuda/operand.h"

namespace lba::cuda {

constexpr unsigned kAllLanes = 0xffffffffu;

struct ThreadRange {  // without initializers, as shared memory wants it: start from ThreadRange()
  uint32_t max_bits, complement_of_min, any_bits;
  float squares;

  __device__ void Include(float value) {
    const uint32_t bits = __float_as_uint(value) & 0x7fffffffu;
    max_bits = bits > max_bits ? bits : max_bits;
    const uint32_t complement = bits == 0 ? 0 : 0x7fffffffu - (bits - 1);
    complement_of_min = complement > complement_of_min ? complement : complement_of_min;
    any_bits |= bits;
  }

  // Of all 32 lanes.
  __device__ void MergeWarp() {
    for (int distance = 16; distance > 0; distance /= 2) {
      max_bits = std::max(max_bits, __shfl_xor_sync(kAllLanes, max_bits, distance));
      complement_of_min = std::max(complement_of_min, __shfl_xor_sync(kAllLanes, complement_of_min, distance));
      any_bits |= __shfl_xor_sync(kAllLanes, any_bits, distance);
      squares = std::max(squares, __shfl_xor_sync(kAllLanes, squares, distance));
    }
  }

  // Of all threads of a block; all call it, and the one that it is true for has the range.
  template <int kWarps>
  __device__ bool MergeBlock(ThreadRange (&warps)[kWarps]) {
    MergeWarp();
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    if (lane == 0) warps[warp] = *this;
    __syncthreads();
    if (warp != 0) return false;
    *this = lane < kWarps ? warps[lane] : ThreadRange();
    MergeWarp();
    return lane == 0;
  }

  // The whole of an operand decides the scales. Parts with infinite values or NaN, which are computed exactly whatever
  // these are, stay out of it.
  __device__ void MergeIntoWhole(SharedRange* whole) const {
    if (max_bits < 0x7f800000u) MergeInto(whole, false);
  }

  // Most threads find that others have been further: a plain read spares them the atomic operation.
  __device__ void MergeInto(SharedRange* range, bool adds_squares) const {
    if (max_bits > range->max_bits) atomicMax(&range->max_bits, max_bits);
    if (complement_of_min > range->complement_of_min) atomicMax(&range->complement_of_min, complement_of_min);
    if ((any_bits | range->any_bits) != range->any_bits) atomicOr(&range->any_bits, any_bits);
    if (adds_squares) {
      atomicAdd(reinterpret_cast<float*>(&range->squares_bits), squares);
    } else if (__float_as_uint(squares) > range->squares_bits) {  // magnitudes order like their bits
      atomicMax(&range->squares_bits, __float_as_uint(squares));
    }
  }
};

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_RANGE_REDUCTION_H_
