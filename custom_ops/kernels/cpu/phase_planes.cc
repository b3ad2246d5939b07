#include "kernels/cpu/phase_planes.h"

#include <algorithm>

#include "kernels/cpu/panel.h"
#include "kernels/cpu/strided_copy.h"

namespace lba {

PhasePlanes::PhasePlanes(const ConvShape& shape) : shape_(shape) {
  for (int d = 0; d < 3; ++d) {
    phases_[d] = std::min(shape.strides[d], (shape.kernel[d] - 1) * shape.dilations[d] + 1);
    extent_[d] = shape.output[d] + (shape.kernel[d] - 1) * shape.dilations[d] / shape.strides[d];
  }
}

double PhasePlanes::count() const {
  double product = 1;
  for (int d = 0; d < 3; ++d) product *= static_cast<double>(phases_[d]) * static_cast<double>(extent_[d]);
  return product;
}

std::vector<PhasePlanes::Segment> PhasePlanes::InsideSegments() const {
  std::vector<Segment> segments;
  int64_t to = 0;
  for (int64_t phase0 = 0; phase0 < phases_[0]; ++phase0) {
    for (int64_t phase1 = 0; phase1 < phases_[1]; ++phase1) {
      for (int64_t phase2 = 0; phase2 < phases_[2]; ++phase2, to += plane_size()) {
        AddPlane({phase0, phase1, phase2}, to, &segments);
      }
    }
  }
  return segments;
}

std::vector<int64_t> PhasePlanes::TapOffsets() const {
  std::vector<int64_t> offsets;
  offsets.reserve(shape_.depth());
  for (int64_t channel = 0; channel < shape_.group_in_channels(); ++channel) {
    for (int64_t i = 0; i < shape_.kernel[0]; ++i) {
      for (int64_t j = 0; j < shape_.kernel[1]; ++j) {
        for (int64_t l = 0; l < shape_.kernel[2]; ++l) {
          offsets.push_back(channel * channel_size() + Offset({i, j, l}));
        }
      }
    }
  }
  return offsets;
}

void PhasePlanes::AddPlane(const std::array<int64_t, 3>& phase, int64_t to, std::vector<Segment>* segments) const {
  const ConvShape& s = shape_;
  for (int64_t i = 0; i < extent_[0]; ++i) {
    const int64_t plane = i * s.strides[0] + phase[0] - s.pads_begin[0];
    for (int64_t j = 0; j < extent_[1]; ++j, to += extent_[2]) {
      const int64_t row = j * s.strides[1] + phase[1] - s.pads_begin[1];
      if (plane < 0 || plane >= s.input[0] || row < 0 || row >= s.input[1]) continue;
      AddRow((plane * s.input[1] + row) * s.input[2], phase[2], to, segments);
    }
  }
}

void PhasePlanes::AddRow(int64_t row, int64_t phase, int64_t to, std::vector<Segment>* segments) const {
  const int64_t stride = shape_.strides[2], width = shape_.input[2];
  const int64_t first = phase - shape_.pads_begin[2];
  const int64_t low = first < 0 ? CeilDiv(-first, stride) : 0;
  const int64_t high = first >= width ? 0 : std::min(extent_[2], CeilDiv(width - first, stride));
  if (low < high) segments->push_back({row + first + low * stride, to + low, high - low});
}

int64_t PhasePlanes::Offset(const std::array<int64_t, 3>& tap) const {
  int64_t phase = 0, index = 0;
  for (int d = 0; d < 3; ++d) {
    const int64_t shift = tap[d] * shape_.dilations[d];
    phase = phase * phases_[d] + shift % shape_.strides[d];
    index = index * extent_[d] + shift / shape_.strides[d];
  }
  return phase * plane_size() + index;
}

bool HasModestPlanes(const ConvShape& shape) {
  constexpr double kAlwaysModest = 1 << 22;
  constexpr double kModestRatio = 16;
  const double channels = static_cast<double>(shape.group_in_channels());
  const double operands = channels * static_cast<double>(shape.input_size()) +
                          static_cast<double>(shape.group_out_channels()) * static_cast<double>(shape.output_size());
  return channels * PhasePlanes(shape).count() <= std::max(kAlwaysModest, kModestRatio * operands);
}

void FillPlanes(const ConvShape& shape, const PhasePlanes& planes, const std::vector<PhasePlanes::Segment>& segments,
                const float* x, float* out) {
  for (int64_t channel = 0; channel < shape.group_in_channels(); ++channel, out += planes.channel_size()) {
    const float* image = x + channel * shape.input_size();
    for (const PhasePlanes::Segment& segment : segments) {
      CopyStrided(image + segment.from, shape.strides[2], segment.count, out + segment.to);
    }
  }
}

}  // namespace lba
