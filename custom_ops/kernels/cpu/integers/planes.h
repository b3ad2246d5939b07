// An image as convolutions read it: with its padding, split by stride, so that each kernel position meets consecutive
// codes.
//
//   output (d, h, w) and kernel position k read      planes[channel][phase of k] at offset of k + place of (d, h, w)
//
// Places of outputs count through rows as wide as a plane's, so that some between them belong to no output.
#ifndef LBA_KERNELS_CPU_INTEGERS_PLANES_H_
#define LBA_KERNELS_CPU_INTEGERS_PLANES_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "lba/conv.h"

namespace lba {

class PlaneShape {
 public:
  explicit PlaneShape(const ConvShape& shape);

  // Whether the image itself is what is read.
  bool is_image() const { return is_image_; }
  // Whether planes are not much larger than what they hold.
  bool is_modest() const { return is_modest_; }
  int64_t channel_size() const { return channel_size_; }
  int64_t places() const { return places_; }
  // Of a kernel position, counted in rows.
  int64_t offset(int64_t position) const { return offsets_[position]; }

  // Makes the planes of one channel padding.
  void Clear(uint8_t zero, uint8_t* planes) const;
  // Fills the planes of one channel, but for their padding.
  void Fill(const uint8_t* image, uint8_t* planes) const;

  // Outputs in a row, from a place on.
  struct Run {
    int64_t place, count, output;
  };
  // Shows the runs among `count` places from `first` on.
  template <class Show>
  void ForEachRun(int64_t first, int64_t count, const Show& show) const {
    const int64_t end = first + count, row = is_image_ ? places_ : size_[2];
    const int64_t length = is_image_ ? places_ : shape_.output[2];
    int64_t line = first / row, w = first % row;
    for (int64_t place = first; place < end; place += row - w, w = 0, ++line) {
      const int64_t d = line / size_[1], h = line % size_[1];
      if (h >= shape_.output[1] || w >= length) continue;
      show(Run{place, std::min(length - w, end - place), (d * shape_.output[1] + h) * length + w});
    }
  }

 private:
  const ConvShape& shape_;
  bool is_image_, is_modest_ = true;
  std::array<int64_t, 3> phases_, size_;  // of a plane
  int64_t plane_size_ = 0, channel_size_ = 0, places_ = 0;
  std::vector<int64_t> offsets_;

  // A line of a plane that reads a line of the image.
  struct Line {
    int64_t to, from, count;
  };
  std::vector<Line> lines_;

  void FindLines();
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_PLANES_H_
