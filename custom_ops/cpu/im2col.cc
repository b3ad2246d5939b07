#include "cpu/im2col.h"

#include <algorithm>

namespace lba {
namespace {

// Consecutive output positions in one output row: what they read lies in one input row per kernel row.
struct Run {
  const float* image;          // the group's first channel of the sample
  int64_t plane, row, column;  // output coordinates of the first position
  int begin, length;           // lanes of the panel
};

// Lanes whose input column, column * stride + shift, lies inside [0, width): [low, high).
void InsideLanes(const Run& run, int64_t stride, int64_t shift, int64_t width, int* low, int* high) {
  const int64_t first = run.column * stride + shift;
  const int64_t before = first < 0 ? CeilDiv(-first, stride) : 0;
  const int64_t inside = first >= width ? 0 : CeilDiv(width - first, stride);
  *high = static_cast<int>(std::clamp<int64_t>(inside, 0, run.length));
  *low = static_cast<int>(std::clamp<int64_t>(before, 0, *high));
}

void CopyLanes(const float* input, int64_t stride, int length, float* out) {
  if (stride == 1) {
    std::copy(input, input + length, out);
  } else {
    for (int lane = 0; lane < length; ++lane) out[lane] = input[lane * stride];
  }
}

// The lanes of one run for one element of the depth: input row `input_row`, or null where it lies in the padding.
void PackRun(const Run& run, const ConvShape& s, const float* input_row, int64_t shift, float* out) {
  float* lanes = out + run.begin;
  int low = 0, high = 0;
  if (input_row != nullptr) InsideLanes(run, s.strides[2], shift, s.input[2], &low, &high);
  std::fill(lanes, lanes + low, 0.0f);
  if (high > low) {
    const int64_t first = (run.column + low) * s.strides[2] + shift;
    CopyLanes(input_row + first, s.strides[2], high - low, lanes + low);
  }
  std::fill(lanes + high, lanes + run.length, 0.0f);
}

// Start of the input row that `run` reads for kernel plane i and kernel row j, or null in the padding.
const float* InputRow(const Run& run, const ConvShape& s, int64_t channel, int64_t i, int64_t j) {
  const int64_t plane = run.plane * s.strides[0] - s.pads_begin[0] + i * s.dilations[0];
  const int64_t row = run.row * s.strides[1] - s.pads_begin[1] + j * s.dilations[1];
  if (plane < 0 || plane >= s.input[0] || row < 0 || row >= s.input[1]) return nullptr;
  return run.image + ((channel * s.input[0] + plane) * s.input[1] + row) * s.input[2];
}

}  // namespace

void Im2colSource::Pack(int64_t first, int count, int width, float* out) const {
  const ConvShape& s = shape_;
  Run runs[kColumnPanel];
  int run_count = 0;
  for (int lane = 0; lane < count; lane += runs[run_count - 1].length) {
    const int64_t sample = (first + lane) / s.output_size();
    const int64_t position = (first + lane) % s.output_size();
    Run& run = runs[run_count++];
    run.image = x_ + (sample * s.in_channels + group_ * s.group_in_channels()) * s.input_size();
    run.column = position % s.output[2];
    run.row = position / s.output[2] % s.output[1];
    run.plane = position / s.output[2] / s.output[1];
    run.begin = lane;
    run.length = static_cast<int>(std::min<int64_t>(count - lane, s.output[2] - run.column));
  }
  if (count < width) std::fill(out, out + depth() * width, 0.0f);
  for (int64_t channel = 0; channel < s.group_in_channels(); ++channel) {
    for (int64_t i = 0; i < s.kernel[0]; ++i) {
      for (int64_t j = 0; j < s.kernel[1]; ++j) {
        const float* rows[kColumnPanel];
        for (int r = 0; r < run_count; ++r) rows[r] = InputRow(runs[r], s, channel, i, j);
        for (int64_t l = 0; l < s.kernel[2]; ++l, out += width) {
          const int64_t shift = l * s.dilations[2] - s.pads_begin[2];
          for (int r = 0; r < run_count; ++r) PackRun(runs[r], s, rows[r], shift, out);
        }
      }
    }
  }
}

}  // namespace lba
