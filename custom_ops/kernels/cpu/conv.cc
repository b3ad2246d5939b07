#include "lba/conv.h"

#include <algorithm>
#include <array>

#include "common/arguments.h"
#include "kernels/cpu/direct_conv.h"
#include "kernels/cpu/fp_environment.h"
#include "kernels/cpu/im2col.h"
#include "kernels/cpu/masked_conv.h"
#include "kernels/cpu/moving_panel.h"
#include "kernels/cpu/packed_filter.h"
#include "kernels/cpu/phase_planes.h"
#include "kernels/cpu/plane_extremes.h"
#include "kernels/cpu/starts.h"
#include "kernels/cpu/statistics_chain.h"
#include "lba/watched_run.h"

namespace lba {
namespace {

constexpr int64_t kTargetTasks = 16;
constexpr int64_t kMinFilterPanels = 16;  // per task, so that packing the patches stays a small part

// tile[filter][position] to y[sample][channel][position].
void WriteTile(const float* tile, const ConvShape& s, int64_t channel, int64_t channels, int64_t first, int count,
               float* y) {
  const int64_t size = s.output_size();
  for (int lane = 0; lane < count;) {
    const int64_t sample = (first + lane) / size, position = (first + lane) % size;
    const int length = static_cast<int>(std::min<int64_t>(count - lane, size - position));
    for (int64_t r = 0; r < channels; ++r) {
      const float* from = tile + r * kColumnPanel + lane;
      std::copy(from, from + length, y + (sample * s.out_channels + channel + r) * size + position);
    }
    lane += length;
  }
}

// Tasks are panels of positions of one group times blocks of its filters.
void TiledConv(const Planner& planner, const ConvShape& s, const float* x, const float* w, const PackedFilter& filter,
               const RoundedStarts& starts, float* y, const Parallel& parallel, double share) {
  const int64_t positions = s.batch * s.output_size();
  const int64_t position_panels = CeilDiv(positions, kColumnPanel);
  const int64_t filter_panels = CeilDiv(s.group_out_channels(), kRowPanel);
  const int64_t wanted_blocks = CeilDiv(kTargetTasks, position_panels * s.groups);
  const int64_t block = std::max(CeilDiv(filter_panels, wanted_blocks), std::min(kMinFilterPanels, filter_panels));
  const int64_t blocks = CeilDiv(filter_panels, block);
  const auto run_task = [&](int64_t task) {
    const int64_t first_filter = task % blocks * block;
    const int64_t first = task / blocks % position_panels * kColumnPanel;
    const int64_t group = task / blocks / position_panels;
    const Im2colSource patches(s, x, group);
    const StridedSource filters = FilterSource(s, w, group);
    const PackedPanels& packed = filter.group(group);
    const Place place{0, group * s.group_out_channels()};
    const ProductStarts group_starts = starts.OfFilters(place.column, s.output_size());
    MovingPanel columns({planner, patches, filters, packed, MovingSide::kColumns, place, 1, group_starts});
    columns.Load(first, static_cast<int>(std::min<int64_t>(positions - first, kColumnPanel)));
    alignas(64) float tile[kRowPanel * kColumnPanel];
    for (int64_t panel = first_filter; panel < std::min(first_filter + block, filter_panels); ++panel) {
      ThrowIfStopped();
      columns.Multiply(panel, packed.panel(panel), tile);
      const int64_t channel = group * s.group_out_channels() + panel * kRowPanel;
      WriteTile(tile, s, channel, packed.panel_vectors(panel), first, columns.count(), y);
    }
  };
  RunTasks(parallel, s.groups * position_panels * blocks, run_task, share);
}

void AddBias(const ConvShape& s, const float* bias, float* y, const Parallel& parallel) {
  const int64_t planes = s.batch * s.out_channels;
  const int64_t tasks = std::min(planes, kTargetTasks);
  RunTasks(parallel, tasks, [&](int64_t task) {
    const FpScope scope(FpMode::kNearest);
    for (int64_t plane = planes * task / tasks; plane < planes * (task + 1) / tasks; ++plane) {
      float* values = y + plane * s.output_size();
      const float addend = bias[plane % s.out_channels];
      for (int64_t i = 0; i < s.output_size(); ++i) values[i] += addend;
    }
  });
}

void CollectConvStatistics(const Accumulator& accumulator, const ConvShape& shape, const float* x, const float* w,
                           const Starts& starts, const Parallel& parallel, StatisticsCollector* statistics) {
  const int64_t call = statistics->NextCall(accumulator);
  const double share = 1 - ProductShare(statistics);
  const auto visit = [&](int64_t group, const CountedProducts::Visitor& visitor) {
    visitor(Im2colSource(shape, x, group), FilterSource(shape, w, group),
            OfFilters(starts, group * shape.group_out_channels(), shape.output_size()));
  };
  const CountedProducts products{shape.groups, shape.batch * shape.output_size(), shape.group_out_channels(),
                                 shape.depth(), visit};
  if (!HasFewFilters(shape) || !HasModestPlanes(shape)) {
    return CollectStatistics(accumulator, products, call, parallel, share, statistics);
  }
  const std::shared_ptr<const Planner> planner = PlannerOf(accumulator, shape.depth());
  FollowSamples(*planner, products, call, parallel, kFollowedShare * share, statistics);
  CollectPlaneExtremes(*planner, shape, x, w, starts, parallel, (1 - kFollowedShare) * share, statistics);
}

}  // namespace

std::shared_ptr<const PackedFilter> PackFilter(const Accumulator& accumulator, const ConvShape& shape, const float* w) {
  return std::make_shared<PackedFilter>(*PlannerOf(accumulator, shape.depth()), shape, w, SerialParallel());
}

void Conv(const Accumulator& accumulator, const ConvShape& shape, const float* x, const float* w,
          const PackedFilter* packed, const float* bias, float* y, const Parallel& parallel,
          StatisticsCollector* statistics, const Starts& starts) {
  if (shape.batch * shape.out_channels * shape.output_size() == 0) return;
  if (shape.depth() > 0 && statistics != nullptr && statistics->is_filled()) {
    return FinishConv(accumulator, shape, x, w, bias, y, parallel, statistics, starts);
  }
  const std::array<int64_t, 3> sizes{shape.batch, shape.out_channels, shape.output_size()};
  const auto place = [&](const std::array<int64_t, 3>& index) {
    return Place{index[0] * sizes[2] + index[2], index[1]};
  };
  const std::shared_ptr<const Planner> plan = PlannerOf(accumulator, shape.depth());
  const Planner& planner = *plan;
  if (shape.depth() == 0) {
    SumNothing(planner, starts, sizes, place, y);
  } else {
    const RoundedStarts rounded(planner, starts, sizes, shape.depth(), place, parallel);
    std::shared_ptr<const PackedFilter> packed_now;
    if (packed == nullptr || !packed->IsFor(planner.path())) {
      packed_now = std::make_shared<PackedFilter>(planner, shape, w, parallel);
      packed = packed_now.get();
    }
    const ConvShape flat = Flattened(shape);
    const double share = ProductShare(statistics);
    const bool is_direct = IsDirect(planner, flat);
    if (NeedsMask(flat, *packed) || (is_direct && !HasModestPlanes(flat))) {
      MaskedConv(planner, flat, x, w, rounded, y, parallel, share);
    } else {
      (is_direct ? DirectConv : TiledConv)(planner, flat, x, w, *packed, rounded, y, parallel, share);
    }
  }
  FinishConv(accumulator, shape, x, w, bias, y, parallel, statistics, starts);
}

void FinishConv(const Accumulator& accumulator, const ConvShape& shape, const float* x, const float* w,
                const float* bias, float* y, const Parallel& parallel, StatisticsCollector* statistics,
                const Starts& starts) {
  const bool is_recorded = statistics != nullptr && shape.depth() > 0;
  if (is_recorded && statistics->is_observed()) {
    LbaConvArgs args = Described<LbaConvArgs>(shape);
    args.row_step = 1;
    args.x = x;
    args.w = w;
    args.y = y;
    args.initial = starts.data;
    std::copy_n(starts.strides, 3, args.initial_strides);
    statistics->Observe(accumulator, nullptr, &args);
  } else if (is_recorded) {
    CollectConvStatistics(accumulator, Flattened(shape), x, w, starts, parallel, statistics);
  }
  if (bias != nullptr) AddBias(shape, bias, y, parallel);
}

}  // namespace lba
