// Padded copies of images in which all output positions of a convolution read with a stride of one.
#ifndef LBA_KERNELS_CPU_PHASE_PLANES_H_
#define LBA_KERNELS_CPU_PHASE_PLANES_H_

#include <array>
#include <cstdint>
#include <vector>

#include "lba/conv.h"

namespace lba {

// The padded input of one channel, split by phase so that every stride reads consecutive values: padded position
// p = index * stride + phase lies in the plane of its phases at its indices. Output position o and kernel offset t read
// p = o * stride + t, which is index o + t / stride of phase t % stride.
class PhasePlanes {
 public:
  // A piece of a row: `count` values of a channel, at offsets from + i * stride, and where they go.
  struct Segment {
    int64_t from, to, count;
  };

  explicit PhasePlanes(const ConvShape& shape);

  // As a double: absurd geometries overflow the integers below.
  double count() const;
  int64_t plane_size() const { return extent_[0] * extent_[1] * extent_[2]; }
  int64_t channel_size() const { return phases_[0] * phases_[1] * phases_[2] * plane_size(); }

  // Positions in the planes from the first output position to the last; some between them are no outputs.
  int64_t span() const {
    return ((shape_.output[0] - 1) * extent_[1] + shape_.output[1] - 1) * extent_[2] + shape_.output[2];
  }
  int64_t RowIndex(int64_t plane, int64_t row) const { return (plane * extent_[1] + row) * extent_[2]; }

  // What of the planes lies inside the input; the rest is padding.
  std::vector<Segment> InsideSegments() const;
  // Where the taps of a group's filters lie in the planes of its channels, from the position's own index, in the order
  // of the weights.
  std::vector<int64_t> TapOffsets() const;

 private:
  void AddPlane(const std::array<int64_t, 3>& phase, int64_t to, std::vector<Segment>* segments) const;
  void AddRow(int64_t row, int64_t phase, int64_t to, std::vector<Segment>* segments) const;
  int64_t Offset(const std::array<int64_t, 3>& tap) const;

  const ConvShape& shape_;
  std::array<int64_t, 3> phases_, extent_;
};

// Whether the planes are in proportion to the operands. Far apart taps in wide padding can make them arbitrarily large
// around a few values; they must not be made then.
bool HasModestPlanes(const ConvShape& shape);

// Copies the channels of one group of one sample to their planes, [channel][plane values], whose padding stays as it
// is.
void FillPlanes(const ConvShape& shape, const PhasePlanes& planes, const std::vector<PhasePlanes::Segment>& segments,
                const float* x, float* out);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_PHASE_PLANES_H_
