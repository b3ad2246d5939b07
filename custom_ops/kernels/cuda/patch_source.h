// The operands that statistics read, where they lie: matrices as they are, convolutions as matrices of patches.
#ifndef LBA_KERNELS_CUDA_PATCH_SOURCE_H_
#define LBA_KERNELS_CUDA_PATCH_SOURCE_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/operand.h"
#include "lba/conv.h"

namespace lba::cuda::statistics {

// The patches of a convolution, a matrix a group: vector sample * output size + position; its elements in the order of
// the weights. Padding is zeros.
struct PatchSource {
  Values x;
  ConvShape shape;
  StridedIndex matrices;
  int64_t vectors, input_size, output_size;

  PatchSource(const ConvShape& s, const Values& values)
      : x(values),
        shape(s),
        vectors(s.batch * s.output_size()),
        input_size(s.input_size()),
        output_size(s.output_size()) {
    matrices.rank = 1;
    matrices.sizes[0] = s.groups;
    matrices.strides[0] = s.group_in_channels() * input_size;
  }

  // What dimension d of the input a patch reads; false in the padding.
  __device__ bool Find(int d, int64_t output, int64_t kernel, int64_t* input) const {
    *input = output * shape.strides[d] - shape.pads_begin[d] + kernel * shape.dilations[d];
    return *input >= 0 && *input < shape.input[d];
  }

  __device__ float Read(int64_t matrix_offset, int64_t vector, int64_t k) const {
    const int64_t position = vector % output_size, row = position / shape.output[2];
    const int64_t kernel_row = k / shape.kernel[2], kernel_plane = kernel_row / shape.kernel[1];
    int64_t i, j, l;
    if (!Find(0, row / shape.output[1], kernel_plane % shape.kernel[0], &i) ||
        !Find(1, row % shape.output[1], kernel_row % shape.kernel[1], &j) ||
        !Find(2, position % shape.output[2], k % shape.kernel[2], &l)) {
      return 0;
    }
    const int64_t channel = vector / output_size * shape.in_channels + kernel_plane / shape.kernel[0];
    return x[matrix_offset + channel * input_size + (i * shape.input[1] + j) * shape.input[2] + l];
  }
};

inline bool IsAlongDepth(const MatrixSource& source) { return source.depth_stride == 1; }
inline bool IsAlongDepth(const PatchSource&) { return false; }

}  // namespace lba::cuda::statistics

#endif  // LBA_KERNELS_CUDA_PATCH_SOURCE_H_
