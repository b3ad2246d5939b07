#include "kernels/cpu/integers/planes.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/integers/short_copy.h"
#include "kernels/cpu/panel.h"

namespace lba {
namespace {

// Every second code. The last 8 overlap those before, so that short lines too are whole vectors.
void CopySecond(const uint8_t* from, int64_t count, uint8_t* to) {
  const auto copy8 = [&](int64_t begin) {
    uint8_t codes[8];
    for (int i = 0; i < 8; ++i) codes[i] = from[2 * (begin + i)];
    std::memcpy(to + begin, codes, sizeof codes);
  };
  int64_t done = 0;
  for (; done + 8 <= count; done += 8) copy8(done);
  if (done < count && count >= 8) return copy8(count - 8);
  for (; done < count; ++done) to[done] = from[2 * done];
}

}  // namespace

PlaneShape::PlaneShape(const ConvShape& s) : shape_(s), is_image_(s.input == s.output) {
  for (int d = 0; d < 3; ++d) {
    is_image_ = is_image_ && s.kernel[d] == 1 && s.strides[d] == 1 && s.pads_begin[d] == 0 && s.pads_end[d] == 0;
    const int64_t reach = (s.kernel[d] - 1) * s.dilations[d];
    phases_[d] = std::min(s.strides[d], reach + 1);
    size_[d] = s.output[d] + reach / s.strides[d];
  }
  plane_size_ = size_[0] * size_[1] * size_[2];
  channel_size_ = plane_size_ * phases_[0] * phases_[1] * phases_[2];
  places_ = ((s.output[0] - 1) * size_[1] + s.output[1] - 1) * size_[2] + s.output[2];
  const int64_t kernel = s.kernel[0] * s.kernel[1] * s.kernel[2];
  is_modest_ = channel_size_ <= 4 * (s.input_size() + kernel * s.output_size()) && places_ <= 4 * s.output_size() + 64;
  if (!is_modest_) return;
  if (!is_image_) FindLines();
  for (int64_t position = 0; position < kernel; ++position) {
    const int64_t at[3] = {position / (s.kernel[1] * s.kernel[2]), position / s.kernel[2] % s.kernel[1],
                           position % s.kernel[2]};
    int64_t phase = 0, offset = 0;
    for (int d = 0; d < 3; ++d) {
      phase = phase * phases_[d] + at[d] * s.dilations[d] % s.strides[d];
      offset = offset * size_[d] + at[d] * s.dilations[d] / s.strides[d];
    }
    offsets_.push_back(phase * plane_size_ + offset);
  }
}

void PlaneShape::FindLines() {
  const ConvShape& s = shape_;
  const int64_t count = phases_[0] * phases_[1] * phases_[2] * size_[0] * size_[1];
  for (int64_t line = 0; line < count; ++line) {
    const int64_t h = line % size_[1], d = line / size_[1] % size_[0], phase = line / size_[1] / size_[0];
    const int64_t in_d = d * s.strides[0] + phase / phases_[2] / phases_[1] - s.pads_begin[0];
    const int64_t in_h = h * s.strides[1] + phase / phases_[2] % phases_[1] - s.pads_begin[1];
    if (in_d < 0 || in_d >= s.input[0] || in_h < 0 || in_h >= s.input[1]) continue;
    const int64_t step = s.strides[2], shift = phase % phases_[2] - s.pads_begin[2];  // reads w * step + shift
    const int64_t begin = shift >= 0 ? 0 : CeilDiv(-shift, step);
    const int64_t end = std::min(size_[2], CeilDiv(std::max<int64_t>(s.input[2] - shift, 0), step));
    if (begin >= end) continue;
    const int64_t from = (in_d * s.input[1] + in_h) * s.input[2] + begin * step + shift;
    lines_.push_back({line * size_[2] + begin, from, end - begin});
  }
}

void PlaneShape::Clear(uint8_t zero, uint8_t* planes) const { std::memset(planes, zero, channel_size_); }

void PlaneShape::Fill(const uint8_t* image, uint8_t* planes) const {
  const int64_t step = shape_.strides[2];
  for (const Line& line : lines_) {
    uint8_t* to = planes + line.to;
    const uint8_t* from = image + line.from;
    if (step == 1) {
      CopyShort(from, line.count, to);
    } else if (step == 2) {
      CopySecond(from, line.count, to);
    } else {
      for (int64_t w = 0; w < line.count; ++w) to[w] = from[step * w];
    }
  }
}

}  // namespace lba
