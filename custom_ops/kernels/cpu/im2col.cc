#include "kernels/cpu/im2col.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/strided_copy.h"

namespace lba {
namespace {

// Consecutive output positions in one output row: what they read lies in one input row per kernel row.
struct Run {
  int64_t image;               // offset of the group's first channel of the sample
  int64_t plane, row, column;  // output coordinates of the first position
  int begin, length;           // lanes of the panel
};

// Lanes of one kernel position that read inside the image: lane `begin` + i reads offset `from` + i * stride of the
// channel.
struct Segment {
  int64_t from;
  int begin, count;
};

// Lanes whose input column, column * stride + shift, lies inside [0, width): [low, high).
void InsideLanes(const Run& run, int64_t stride, int64_t shift, int64_t width, int* low, int* high) {
  const auto steps = [stride](int64_t distance) { return stride == 1 ? distance : CeilDiv(distance, stride); };
  const int64_t first = run.column * stride + shift;
  const int64_t before = first < 0 ? steps(-first) : 0;
  const int64_t inside = first >= width ? 0 : steps(width - first);
  *high = static_cast<int>(std::clamp<int64_t>(inside, 0, run.length));
  *low = static_cast<int>(std::clamp<int64_t>(before, 0, *high));
}

// What one run reads for kernel offsets i, j, l; nothing where the input row lies in the padding.
void AddSegment(const Run& run, const ConvShape& s, int64_t i, int64_t j, int64_t l, std::vector<Segment>* segments) {
  const int64_t plane = run.plane * s.strides[0] - s.pads_begin[0] + i * s.dilations[0];
  const int64_t row = run.row * s.strides[1] - s.pads_begin[1] + j * s.dilations[1];
  if (plane < 0 || plane >= s.input[0] || row < 0 || row >= s.input[1]) return;
  const int64_t shift = l * s.dilations[2] - s.pads_begin[2];
  int low = 0, high = 0;
  InsideLanes(run, s.strides[2], shift, s.input[2], &low, &high);
  if (low == high) return;
  const int64_t row_start = run.image + (plane * s.input[1] + row) * s.input[2];
  segments->push_back({row_start + (run.column + low) * s.strides[2] + shift, run.begin + low, high - low});
}

// The segments of all kernel positions; those of position p are first[p] ... first[p + 1] - 1.
struct PatchPlan {
  std::vector<Segment> segments;
  std::vector<int> first;
  std::vector<char> is_full;  // whether all lanes of the position are inside
};

PatchPlan PlanPatches(const ConvShape& s, const Run* runs, int run_count, int width) {
  PatchPlan plan;
  const int64_t positions = s.kernel[0] * s.kernel[1] * s.kernel[2];
  plan.segments.reserve(positions * run_count);
  plan.first.reserve(positions + 1);
  plan.is_full.reserve(positions);
  for (int64_t i = 0; i < s.kernel[0]; ++i) {
    for (int64_t j = 0; j < s.kernel[1]; ++j) {
      for (int64_t l = 0; l < s.kernel[2]; ++l) {
        plan.first.push_back(static_cast<int>(plan.segments.size()));
        for (int r = 0; r < run_count; ++r) AddSegment(runs[r], s, i, j, l, &plan.segments);
        int lanes = 0;
        for (size_t n = plan.first.back(); n < plan.segments.size(); ++n) lanes += plan.segments[n].count;
        plan.is_full.push_back(lanes == width);
      }
    }
  }
  plan.first.push_back(static_cast<int>(plan.segments.size()));
  return plan;
}

int FindRuns(const ConvShape& s, int64_t first_channel, int64_t first, int count, Run* runs) {
  int run_count = 0;
  for (int lane = 0; lane < count; lane += runs[run_count - 1].length) {
    const int64_t sample = (first + lane) / s.output_size();
    const int64_t position = (first + lane) % s.output_size();
    Run& run = runs[run_count++];
    run.image = (sample * s.in_channels + first_channel) * s.input_size();
    run.column = position % s.output[2];
    run.row = position / s.output[2] % s.output[1];
    run.plane = position / s.output[2] / s.output[1];
    run.begin = lane;
    run.length = static_cast<int>(std::min<int64_t>(count - lane, s.output[2] - run.column));
  }
  return run_count;
}

// What lanes 0 ... count - 1 of a panel read, from vector `first` on, in each channel of the group.
PatchPlan PlanPanel(const ConvShape& s, int64_t group, int64_t first, int count, int width) {
  Run runs[kColumnPanel];
  const int run_count = FindRuns(s, group * s.group_in_channels(), first, count, runs);
  return PlanPatches(s, runs, run_count, width);
}

}  // namespace

ConvShape Flattened(const ConvShape& shape) {
  const std::array<int64_t, 3> ones{1, 1, 1}, zeros{0, 0, 0};
  if (shape.kernel != ones || shape.strides != ones || shape.pads_begin != zeros || shape.pads_end != zeros) {
    return shape;
  }
  ConvShape flat = shape;
  flat.input = {1, 1, shape.input_size()};
  flat.output = {1, 1, shape.output_size()};
  flat.dilations = ones;
  return flat;
}

void Im2colSource::Pack(int64_t first, int count, int width, float* out) const {
  const ConvShape& s = shape_;
  const PatchPlan plan = PlanPanel(s, group_, first, count, width);
  const int64_t positions = static_cast<int64_t>(plan.is_full.size());
  for (int64_t channel = 0; channel < s.group_in_channels(); ++channel) {
    const float* image = x_ + channel * s.input_size();
    for (int64_t p = 0; p < positions; ++p, out += width) {
      if (!plan.is_full[p]) std::fill(out, out + width, 0.0f);
      for (int n = plan.first[p]; n < plan.first[p + 1]; ++n) {
        const Segment& segment = plan.segments[n];
        CopyStrided(image + segment.from, s.strides[2], segment.count, out + segment.begin);
      }
    }
  }
}

void Im2colSink::Add(int64_t first, int count, int width, const float* panel) const {
  const ConvShape& s = shape_;
  const PatchPlan plan = PlanPanel(s, group_, first, count, width);
  const int64_t positions = static_cast<int64_t>(plan.is_full.size());
  for (int64_t channel = 0; channel < s.group_in_channels(); ++channel) {
    float* image = grad_x_ + channel * s.input_size();
    for (int64_t p = 0; p < positions; ++p, panel += width) {
      for (int n = plan.first[p]; n < plan.first[p + 1]; ++n) {
        const Segment& segment = plan.segments[n];
        float* to = image + segment.from;
        const float* from = panel + segment.begin;
        for (int i = 0; i < segment.count; ++i) to[i * s.strides[2]] += from[i];
      }
    }
  }
}

}  // namespace lba
