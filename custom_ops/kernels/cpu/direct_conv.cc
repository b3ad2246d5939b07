#include "kernels/cpu/direct_conv.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/path_kernels.h"
#include "kernels/cpu/phase_planes.h"
#include "kernels/cpu/tile.h"
#include "lba/watched_run.h"

namespace lba {
namespace {

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
        offsets_(planes_.TapOffsets()),
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
  void Fill(const float* x) { FillPlanes(shape_, planes_, segments_, x, input_.data()); }

  void Load(const float* x, const PackedPanels& filters, const ProductStarts& starts) {
    Fill(x);
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
      Fill(x);
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
