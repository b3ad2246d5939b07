// The patches of an image batch: the columns of the matrix that turns a convolution into a matrix product. The matrix
// never exists. Kernels read *planes*, a copy of the input in float32, scaled, with its padding as zeros: there a patch
// is a corner, one for each output position, plus an offset for each position in the depth, the same for all corners.
#ifndef LBA_KERNELS_CUDA_PATCHES_H_
#define LBA_KERNELS_CUDA_PATCHES_H_

#include <cuda_runtime.h>

#include <array>
#include <cstdint>

#include "kernels/cuda/divisor.h"
#include "kernels/cuda/operand.h"
#include "lba/conv.h"

namespace lba::cuda {

// Where a block starts in a row of boxes of points, box after box.
struct BoxStart {
  int64_t box;
  uint32_t point;
};

struct BoxPoint {
  int64_t box;
  uint32_t point;  // in the box, as the last dimension runs fastest
  uint32_t at[3];
};

// Equal boxes of points: the planes of an image batch, or the outputs of its samples.
struct Boxes {
  static constexpr int64_t kMostPoints = int64_t{1} << 30;  // for Find

  int64_t sizes[3], size;
  Divisor by_size, by_last, by_middle;  // set where Find can be called

  explicit Boxes(const std::array<int64_t, 3>& box_sizes);

  __device__ BoxStart Start(int64_t point) const { return {point / size, static_cast<uint32_t>(point % size)}; }
  // The point `past` points behind a start, for a `past` of at most 2^30.
  __device__ BoxPoint Find(const BoxStart& start, int past) const {
    uint32_t point = start.point + static_cast<uint32_t>(past);
    const int64_t box = start.box + by_size.Split(&point);
    uint32_t last = point, middle = by_last.Split(&last);
    const uint32_t first = by_middle.Split(&middle);
    return {box, point, {first, middle, last}};
  }
};

// A convolution as the kernels read it.
struct PatchGeometry {
  int64_t batch, groups;
  int64_t channels, filters;  // of one group
  int64_t input[3], kernel[3], strides[3], dilations[3], pads[3];
  int64_t input_size, kernel_size, depth;
  Boxes outputs, planes;

  explicit PatchGeometry(const ConvShape& shape);

  // Whether planes are in proportion to the input, and small enough for offsets of 32 bits. Far apart taps in wide
  // padding can make them arbitrarily large around a few values; without planes all is computed exactly.
  bool has_planes() const;
  LBA_HOST_DEVICE int64_t plane_floats() const { return batch * groups * channels * planes.size; }
  LBA_HOST_DEVICE int64_t columns() const { return batch * outputs.size; }  // of one group

  // Of the patch of an output position, in the planes of the first group.
  __device__ int64_t Corner(const BoxPoint& output) const {
    const int64_t row = output.at[0] * strides[0] * planes.sizes[1] + output.at[1] * strides[1];
    return output.box * groups * channels * planes.size + row * planes.sizes[2] + output.at[2] * strides[2];
  }
  __device__ int64_t GroupOffset(int64_t group) const { return group * channels * planes.size; }
};

// One position in the depth of a dot product, for the exact kernels, which read the input itself.
struct PatchTap {
  int64_t channel;  // of the group
  int64_t at[3];    // from the patch's corner

  __device__ static PatchTap Of(const PatchGeometry& g, int64_t k) {
    const int64_t position = k % g.kernel_size, row = position / g.kernel[2];
    return {k / g.kernel_size,
            {row / g.kernel[1] * g.dilations[0], row % g.kernel[1] * g.dilations[1],
             position % g.kernel[2] * g.dilations[2]}};
  }
};

// What the kernels read of the input, and what follows from its values.
struct Patches {
  Values x;
  const float* planes;
  const uint32_t* offset_bytes;  // [depth rounded up to kStageDepth]; from a corner in the planes
  const PatchTap* taps;          // [depth]
  const int* kernels;            // [batch][groups][panels of packed filters]
};

// The operands of one dot product of a group, in the order of the depth, as exact kernels read them. Over the padding x
// is 0, and so is the product, whatever the weight.
class PatchOperands {
 public:
  // Of output position `column`, counted over all samples.
  __device__ PatchOperands(const PatchGeometry& geometry, const Values& x, const PatchTap* taps,
                           const MatrixSource& weights, int64_t group, int64_t filter, int64_t column)
      : geometry_(geometry),
        x_(x),
        taps_(taps),
        weights_(weights),
        filter_(filter),
        group_weights_(group * weights.matrices.strides[0]),
        first_plane_((column / geometry.outputs.size * geometry.groups + group) * geometry.channels) {
    const int64_t point = column % geometry.outputs.size, row = point / geometry.outputs.sizes[2];
    const int64_t at[3] = {row / geometry.outputs.sizes[1], row % geometry.outputs.sizes[1],
                           point % geometry.outputs.sizes[2]};
    for (int d = 0; d < 3; ++d) corner_[d] = at[d] * geometry.strides[d] - geometry.pads[d];
  }

  __device__ void operator()(int64_t k, float* x, float* w) const {
    const PatchTap& tap = taps_[k];
    int64_t index = first_plane_ + tap.channel;
    bool is_inside = true;
    for (int d = 0; d < 3; ++d) {
      const int64_t place = corner_[d] + tap.at[d];
      is_inside = is_inside && place >= 0 && place < geometry_.input[d];
      index = index * geometry_.input[d] + place;
    }
    const float weight = weights_.Read(group_weights_, filter_, k);
    const bool is_finite = (__float_as_uint(weight) & 0x7fffffffu) < 0x7f800000u;
    *x = is_inside ? x_[index] : 0.0f;
    *w = is_inside || is_finite ? weight : 0.0f;
  }

 private:
  const PatchGeometry& geometry_;
  const Values& x_;
  const PatchTap* const taps_;
  const MatrixSource& weights_;
  const int64_t filter_, group_weights_, first_plane_;
  int64_t corner_[3];
};

// Scratch memory for patches.
struct PatchMemory {
  SharedRange* ranges;  // [batch + 1]: of each sample, and of all finite values, at least; zeros before
  float* planes;
  uint32_t* offset_bytes;
  PatchTap* taps;
  int* kernels;
};

// Queues the kernels that fill the memory. A Kind is that of tile_plan.h; defined in patch_kernel.h.
template <class Kind>
Patches MakePatches(const Kind& kind, const PatchGeometry& geometry, Values x, const PackedOperand& weights,
                    const PatchMemory& memory, cudaStream_t stream);

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_PATCHES_H_
