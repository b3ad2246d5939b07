#include "kernels/cpu/direct_conv.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/path_kernels.h"
#include "kernels/cpu/strided_copy.h"
#include "kernels/cpu/tile.h"
#include "lba/watched_run.h"

namespace lba {
namespace {

// The padded input of one channel, split by phase so that every stride reads consecutive values: padded position
// p = index * stride + phase lies in the plane of its phases at its indices. Output position o and kernel offset t read
// p = o * stride + t, which is index o + t / stride of phase t % stride.
class PhasePlanes {
 public:
  // A piece of a row: `count` values of a channel, at offsets from + i * stride, and where they go.
  struct Segment {
    int64_t from, to, count;
  };

  explicit PhasePlanes(const ConvShape& shape) : shape_(shape) {
    for (int d = 0; d < 3; ++d) {
      phases_[d] = std::min(shape.strides[d], (shape.kernel[d] - 1) * shape.dilations[d] + 1);
      extent_[d] = shape.output[d] + (shape.kernel[d] - 1) * shape.dilations[d] / shape.strides[d];
    }
  }

  // As a double: absurd geometries overflow the integers below.
  double count() const {
    double product = 1;
    for (int d = 0; d < 3; ++d) product *= static_cast<double>(phases_[d]) * static_cast<double>(extent_[d]);
    return product;
  }
  int64_t plane_size() const { return extent_[0] * extent_[1] * extent_[2]; }
  int64_t channel_size() const { return phases_[0] * phases_[1] * phases_[2] * plane_size(); }

  // Where kernel offsets in the three dimensions lie, from the position's own index.
  int64_t Offset(const std::array<int64_t, 3>& tap) const {
    int64_t phase = 0, index = 0;
    for (int d = 0; d < 3; ++d) {
      const int64_t shift = tap[d] * shape_.dilations[d];
      phase = phase * phases_[d] + shift % shape_.strides[d];
      index = index * extent_[d] + shift / shape_.strides[d];
    }
    return phase * plane_size() + index;
  }

  // Positions in the planes from the first output position to the last; some between them are no outputs.
  int64_t span() const {
    return ((shape_.output[0] - 1) * extent_[1] + shape_.output[1] - 1) * extent_[2] + shape_.output[2];
  }
  int64_t RowIndex(int64_t plane, int64_t row) const { return (plane * extent_[1] + row) * extent_[2]; }

  // What of the planes lies inside the input; the rest is padding.
  std::vector<Segment> InsideSegments() const {
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

 private:
  void AddPlane(const std::array<int64_t, 3>& phase, int64_t to, std::vector<Segment>* segments) const {
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

  void AddRow(int64_t row, int64_t phase, int64_t to, std::vector<Segment>* segments) const {
    const int64_t stride = shape_.strides[2], width = shape_.input[2];
    const int64_t first = phase - shape_.pads_begin[2];
    const int64_t low = first < 0 ? CeilDiv(-first, stride) : 0;
    const int64_t high = first >= width ? 0 : std::min(extent_[2], CeilDiv(width - first, stride));
    if (low < high) segments->push_back({row + first + low * stride, to + low, high - low});
  }

  const ConvShape& shape_;
  std::array<int64_t, 3> phases_, extent_;
};

std::vector<int64_t> TapOffsets(const ConvShape& s, const PhasePlanes& planes) {
  std::vector<int64_t> offsets;
  offsets.reserve(s.depth());
  for (int64_t channel = 0; channel < s.group_in_channels(); ++channel) {
    for (int64_t i = 0; i < s.kernel[0]; ++i) {
      for (int64_t j = 0; j < s.kernel[1]; ++j) {
        for (int64_t l = 0; l < s.kernel[2]; ++l) {
          offsets.push_back(channel * planes.channel_size() + planes.Offset({i, j, l}));
        }
      }
    }
  }
  return offsets;
}

// Room behind the planes for vectors that start before the last position and reach beyond.
constexpr int64_t kTail = kDirectRounding;

// One group of one sample.
class DirectGroup {
 public:
  DirectGroup(const Planner& planner, const ConvShape& shape)
      : planner_(planner),
        shape_(shape),
        planes_(shape),
        segments_(planes_.InsideSegments()),
        offsets_(TapOffsets(shape, planes_)),
        input_(shape.group_in_channels() * planes_.channel_size() + kTail),
        output_(planes_.span() + kTail),
        starts_(planes_.span() + kTail) {
    std::fill(starts_.data(), starts_.data() + starts_.size(), 0.0f);
    std::fill(input_.data(), input_.data() + input_.size(), 0.0f);  // the padding stays as it is from here on
  }

  // `starts` are those of the group's filters, whose moving vectors are all positions; `first` is that of the sample.
  void Run(const float* x, const float* w, const PackedPanels& filters, const ProductStarts& starts, int64_t first,
           float* y) {
    Load(x, filters, starts);
    for (int64_t filter = 0; filter < filters.vectors(); ++filter) {
      const bool reads_packed = planner_.ReadsPacked(plan_, filters.scale_log2());
      const float* weights = reads_packed ? filters.panel(filter) : w + filter * shape_.depth();
      const int variant = VariantOf(planner_, starts, bounds_, filters.panel_bounds(filter), plan_.is_fused);
      if (starts.data != nullptr) FillStarts(starts, first, filter);
      Multiply(weights, variant, starts.data == nullptr ? nullptr : starts_.data());
      Write(y + filter * shape_.output_size());
    }
  }

 private:
  void FillPlanes(const float* x) {
    for (int64_t channel = 0; channel < shape_.group_in_channels(); ++channel) {
      const float* image = x + channel * shape_.input_size();
      float* planes = input_.data() + channel * planes_.channel_size();
      for (const PhasePlanes::Segment& segment : segments_) {
        CopyStrided(image + segment.from, shape_.strides[2], segment.count, planes + segment.to);
      }
    }
  }

  void Load(const float* x, const PackedPanels& filters, const ProductStarts& starts) {
    FillPlanes(x);
    const float scale = planner_.MovingScale(filters.scale_log2());
    ValueRange range = Scale(scale);
    // Not a norm of a dot product's chunk, but of everything: no bound to be had from it.
    range.max_chunk_squares = std::numeric_limits<float>::infinity();
    bounds_ = PanelBounds(range, planner_.chunk());
    plan_ = planner_.Plan(range, filters.range(), filters.scale_log2());
    if (starts.data != nullptr) plan_ = planner_.PlanStarts(plan_, *starts.range);
    if (plan_.is_fused) {
      Scale(planner_.fused_scale());
    } else if (plan_.path != planner_.path() && scale != 1.0f) {
      FillPlanes(x);
    }
  }

  ValueRange Scale(float scale) {
    const FpScope scope(FpMode::kTowardZero);
    return PathKernelsOf(planner_.path())
        .scale_panel(input_.data(), input_.size() / kRowPanel, kRowPanel, input_.size(), scale);
  }

  // At positions of the planes that are no outputs sums start from what is there.
  void FillStarts(const ProductStarts& starts, int64_t first, int64_t filter) {
    const double scale = planner_.StartScale(planner_.KernelsOf(plan_.path).path);
    for (int64_t plane = 0; plane < shape_.output[0]; ++plane) {
      for (int64_t row = 0; row < shape_.output[1]; ++row, first += shape_.output[2]) {
        float* to = starts_.data() + planes_.RowIndex(plane, row);
        starts.Copy(first, static_cast<int>(shape_.output[2]), 1, filter, 1, 1, scale, to);
      }
    }
  }

  void Multiply(const float* weights, int variant, const float* starts) {
    const TileKernels& kernels = planner_.KernelsOf(plan_.path);
    const DirectArgs args{planner_.constants(plan_.path),
                          weights,
                          input_.data(),
                          offsets_.data(),
                          shape_.depth(),
                          &planner_.order(),
                          planes_.span(),
                          output_.data(),
                          {},
                          starts};
    const FpScope scope(kernels.mode);
    kernels.direct[variant](args);
    CountTiles(kernels.path, 1);
  }

  void Write(float* y) const {
    for (int64_t plane = 0; plane < shape_.output[0]; ++plane) {
      for (int64_t row = 0; row < shape_.output[1]; ++row, y += shape_.output[2]) {
        const float* from = output_.data() + planes_.RowIndex(plane, row);
        std::copy(from, from + shape_.output[2], y);
      }
    }
  }

  const Planner& planner_;
  const ConvShape& shape_;
  const PhasePlanes planes_;
  const std::vector<PhasePlanes::Segment> segments_;
  const std::vector<int64_t> offsets_;
  AlignedFloats input_, output_, starts_;
  PanelBounds bounds_;
  PanelPlan plan_;
};

}  // namespace

bool HasModestPlanes(const ConvShape& shape) {
  constexpr double kAlwaysModest = 1 << 22;
  constexpr double kModestRatio = 16;
  const double channels = static_cast<double>(shape.group_in_channels());
  const double operands = channels * static_cast<double>(shape.input_size()) +
                          static_cast<double>(shape.group_out_channels()) * static_cast<double>(shape.output_size());
  return channels * PhasePlanes(shape).count() <= std::max(kAlwaysModest, kModestRatio * operands);
}

void DirectConv(const Planner& planner, const ConvShape& shape, const float* x, const float* w,
                const PackedFilter& filter, const RoundedStarts& starts, float* y, const Parallel& parallel,
                double share) {
  constexpr int64_t kTargetTasks = 16;
  const int64_t all = shape.batch * shape.groups;
  const int64_t tasks = std::min(all, kTargetTasks);
  const auto run_task = [&](int64_t task) {
    DirectGroup direct(planner, shape);
    const WatchedRun* run = CurrentRun();
    for (int64_t i = all * task / tasks; i < all * (task + 1) / tasks; ++i) {
      if (run != nullptr && run->is_stopped()) throw RunStopped();
      const int64_t group = i % shape.groups;
      const float* group_x = x + i * shape.group_in_channels() * shape.input_size();
      const float* group_w = w + group * shape.group_out_channels() * shape.depth();
      const int64_t size = shape.output_size();
      direct.Run(group_x, group_w, filter.group(group), starts.OfFilters(group * shape.group_out_channels(), size),
                 i / shape.groups * size, y + i * shape.group_out_channels() * size);
    }
  };
  RunTasks(parallel, tasks, run_task, share);
}

}  // namespace lba
