// What becomes of a dot product: alpha, an addend, the output's type.
#ifndef LBA_KERNELS_CUDA_OUTPUT_H_
#define LBA_KERNELS_CUDA_OUTPUT_H_

#include <cstdint>

#include "kernels/cuda/operand.h"

namespace lba::cuda {

struct Output {
  void* data = nullptr;
  bool is_half = false;
  float alpha = 1, beta = 1;
  Values addend;        // null data: none
  bool starts = false;  // whether dot products start from beta * addend: then nothing is left to be done to them

  // What a dot product starts from.
  __device__ float Start(int64_t addend_index) const {
    return starts && addend.data != nullptr ? beta * addend[addend_index] : 0.0f;
  }

  // alpha * dot + beta * addend[addend_index], each operation rounded to nearest in float32.
  __device__ float Finish(float dot, int64_t addend_index) const {
    const float value = alpha * dot;
    return addend.data == nullptr ? value : value + beta * addend[addend_index];
  }

  __device__ void Store(int64_t index, float value) const {
    if (is_half) {
      static_cast<uint16_t*>(data)[index] = FloatToHalf(value);
    } else {
      static_cast<float*>(data)[index] = value;
    }
  }

  // The first `count` values to neighbours; whole groups of four at once where they are aligned.
  template <int kCount>
  __device__ void Store(int64_t index, const float (&values)[kCount], int64_t count) const {
    if constexpr (kCount == 4) {
      const int bytes = is_half ? 8 : 16;
      char* place = static_cast<char*>(data) + index * (bytes / 4);
      if (count >= 4 && reinterpret_cast<uintptr_t>(place) % bytes == 0) return StoreFour(place, values);
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      if (i < count) Store(index + i, values[i]);
    }
  }

 private:
  __device__ void StoreFour(char* place, const float (&values)[4]) const {
    if (!is_half) {
      *reinterpret_cast<float4*>(place) = float4{values[0], values[1], values[2], values[3]};
      return;
    }
    uint64_t halves = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) halves |= uint64_t{FloatToHalf(values[i])} << (16 * i);
    *reinterpret_cast<uint64_t*>(place) = halves;
  }
};

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_OUTPUT_H_
