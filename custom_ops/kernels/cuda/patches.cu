#include <algorithm>
#include <array>

#include "kernels/cuda/patches.h"

namespace lba::cuda {
namespace {

std::array<int64_t, 3> PlaneSizes(const ConvShape& shape) {
  std::array<int64_t, 3> sizes;
  for (int d = 0; d < 3; ++d) {
    sizes[d] = (shape.output[d] - 1) * shape.strides[d] + (shape.kernel[d] - 1) * shape.dilations[d] + 1;
  }
  return sizes;
}

}  // namespace

Boxes::Boxes(const std::array<int64_t, 3>& box_sizes) {
  std::copy(box_sizes.begin(), box_sizes.end(), sizes);
  double points = 1;
  for (const int64_t dimension : sizes) points *= static_cast<double>(dimension);
  size = points < 0x1p62 ? sizes[0] * sizes[1] * sizes[2] : int64_t{1} << 62;
  if (size > kMostPoints) return;
  by_size = Divisor(size);
  by_middle = Divisor(sizes[1]);
  by_last = Divisor(sizes[2]);
}

PatchGeometry::PatchGeometry(const ConvShape& shape)
    : batch(shape.batch),
      groups(shape.groups),
      channels(shape.group_in_channels()),
      filters(shape.group_out_channels()),
      input_size(shape.input_size()),
      kernel_size(shape.kernel[0] * shape.kernel[1] * shape.kernel[2]),
      depth(shape.depth()),
      outputs(shape.output),
      planes(PlaneSizes(shape)) {
  std::copy(shape.input.begin(), shape.input.end(), input);
  std::copy(shape.kernel.begin(), shape.kernel.end(), kernel);
  std::copy(shape.strides.begin(), shape.strides.end(), strides);
  std::copy(shape.dilations.begin(), shape.dilations.end(), dilations);
  std::copy(shape.pads_begin.begin(), shape.pads_begin.end(), pads);
}

bool PatchGeometry::has_planes() const {
  constexpr double kAlwaysModest = 1 << 22;
  constexpr double kModestRatio = 8;
  const double all = static_cast<double>(batch * groups * channels);
  const double copied = all * static_cast<double>(planes.size);
  return planes.size <= Boxes::kMostPoints && input_size <= Boxes::kMostPoints &&
         static_cast<double>(channels) * static_cast<double>(planes.size) * sizeof(float) < 0x1p32 &&
         copied <= std::max(kAlwaysModest, kModestRatio * all * static_cast<double>(input_size));
}

}  // namespace lba::cuda
