#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "common/arguments.h"
#include "kernels/cpu/integers/definition.h"
#include "kernels/cpu/integers/epilogue.h"
#include "kernels/cpu/integers/filter_finish.h"
#include "kernels/cpu/integers/lane_panel.h"
#include "kernels/cpu/integers/observation.h"
#include "kernels/cpu/integers/packed.h"
#include "kernels/cpu/integers/planes.h"
#include "kernels/cpu/integers/statistics.h"
#include "kernels/cpu/statistics_chain.h"
#include "lba/integer_product.h"
#include "lba/watched_run.h"

namespace lba {
namespace {

// The filters of one group, and the patches that they meet.
struct Group {
  PatchChains patches;
  StridedChains filters;

  Group(const IntegerSums& sums, const ConvShape& s, const Codes& x, const Codes& w, int64_t group,
        const std::vector<int64_t>& order)
      : patches(sums, s, x, group, order),
        filters(Bytes(w.data) + group * s.group_out_channels() * s.depth(), order, s.group_out_channels(), s.depth()) {
    filters.AsW(sums, w, group * s.group_out_channels());
  }
};

// Results of one group by the definition.
template <class Sum>
void SumByDefinition(const IntegerSums& sums, const ConvShape& s, const Group& sides, int64_t group,
                     const IntegerEpilogue& epilogue, const Parallel& parallel, double share, void* y) {
  const int64_t size = s.output_size(), filters = s.group_out_channels();
  const auto sum_patches = [&](int64_t i) {
    Chain patch, weights;
    sides.patches.Load(i, &patch);
    for (int64_t filter = 0; filter < filters; ++filter) {
      sides.filters.Load(filter, &weights);
      const int64_t channel = group * filters + filter;
      const Sum sum = static_cast<Sum>(CorrectedSum(sums, patch, weights, s.depth()));
      WriteResults(epilogue, &sum, 1, channel, 0, (i / size * s.out_channels + channel) * size + i % size, y);
    }
  };
  RunTasks(parallel, s.batch * size, sum_patches, share);
}

// The filters of one group as a plan has them; without rows where the definition computes.
struct PackedGroup {
  const IntegerPlan plan;
  std::unique_ptr<PackedRows> rows;

  PackedGroup(const IntegerSums& sums, const StridedChains& filters)
      : plan(PlanIntegers(sums, filters, filters.places())) {
    if (plan.kernels == nullptr) return;
    rows = std::make_unique<PackedRows>(plan, Role::kW, sums, filters.vectors(), filters.places());
    for (int64_t filter = 0; filter < filters.vectors(); ++filter) rows->Pack(filters, filter, filter);
  }
};

// Results of lanes, to the outputs that they belong to.
template <class Item>
void Scatter(const std::vector<PlaneShape::Run>& runs, const void* results, void* channel) {
  for (const PlaneShape::Run& run : runs) {
    const Item* from = static_cast<const Item*>(results) + run.lane;
    std::copy(from, from + run.count, static_cast<Item*>(channel) + run.output);
  }
}

void Scatter(const std::vector<PlaneShape::Run>& runs, const void* results, int64_t item_bytes, void* channel) {
  if (item_bytes == 1) return Scatter<uint8_t>(runs, results, channel);
  item_bytes == 4 ? Scatter<uint32_t>(runs, results, channel) : Scatter<uint64_t>(runs, results, channel);
}

// Counts the call, or shows it to the observer, who may write the sums.
void Record(const Accumulator& accumulator, const IntegerSums& sums, const ConvShape& s, const Codes& x, const Codes& w,
            const std::vector<int64_t>& order, void* y, const Parallel& parallel, StatisticsCollector* statistics) {
  if (statistics->is_observed()) {
    LbaConvArgs args = Described<LbaConvArgs>(s);
    args.x_type = TypeOf(x.type);
    args.w_type = TypeOf(w.type);
    args.y_type = sums.is_wide() ? LBA_INT64 : LBA_INT32;
    args.row_step = 1;
    args.x = x.data;
    args.w = w.data;
    args.y = y;
    args.x_zero_point = ZeroPointOf(x, 0);
    args.w_zero_points = w.zero_points;
    args.w_zero_point_stride = w.has_many_zero_points ? 1 : 0;
    statistics->Observe(accumulator, nullptr, &args);
    return;
  }
  const int64_t call = statistics->NextCall(accumulator);
  const double share = (1 - ProductShare(statistics)) / static_cast<double>(s.groups);
  for (int64_t group = 0; group < s.groups; ++group) {
    const Group sides(sums, s, x, w, group, order);
    CollectIntegerStatistics(sums, sides.patches, sides.filters, order, call + group, parallel, share, statistics);
  }
}

}  // namespace

class PackedIntegerFilter {
 public:
  PackedIntegerFilter(const IntegerSums& sums, const ConvShape& s, const Codes& w, const Parallel& parallel)
      : kernels_(SelectedIntegerKernels()), order_(FilterOrder(sums, s)), groups_(s.groups) {
    const int64_t filters = s.group_out_channels();
    RunTasks(parallel, s.groups, [&](int64_t group) {
      StridedChains weights(Bytes(w.data) + group * filters * s.depth(), order_, filters, s.depth());
      weights.AsW(sums, w, group * filters);
      groups_[group] = std::make_unique<const PackedGroup>(sums, weights);
    });
  }
  const PackedGroup& At(int64_t group) const { return *groups_[group]; }
  bool IsFor(const IntegerKernels* kernels) const { return kernels_ == kernels; }
  const std::vector<int64_t>& order() const { return order_; }

 private:
  const IntegerKernels* const kernels_;
  const std::vector<int64_t> order_;
  std::vector<std::unique_ptr<const PackedGroup>> groups_;
};

namespace {

// One call: how its parts become tasks.
class TiledConv {
 public:
  TiledConv(const IntegerSums& sums, const ConvShape& s, const Codes& x, const Codes& w,
            const PackedIntegerFilter& filter, const IntegerEpilogue& epilogue, void* y)
      : sums_(sums), s_(s), x_(x), w_(w), filter_(filter), epilogue_(epilogue), planes_(s) {
    y_ = static_cast<uint8_t*>(y);
    channel_size_ = planes_.is_image() ? s.input_size() : planes_.channel_size();
    offsets_.reserve(filter.order().size());
    for (const int64_t k : filter.order()) offsets_.push_back(k < 0 ? -1 : OffsetOf(k));
    panels_ = CeilDiv(planes_.places(), kTileLanes);
    const int64_t filters = s.group_out_channels(), units = s.groups * panels_;
    blocks_ = std::clamp<int64_t>(CeilDiv(kLeastUnits, units), 1, CeilDiv(filters, kLeastFilters));
    if (!planes_.is_image()) copy_ = Aligned(s.in_channels * channel_size_ + kTileLanes);
    if (is_modest()) PrepareFinishes();
  }

  bool is_modest() const { return planes_.is_modest(); }

  void Run(const Parallel& parallel, double share) {
    for (int64_t sample = 0; sample < s_.batch; ++sample) {
      const uint8_t* images = Bytes(x_.data) + sample * s_.in_channels * s_.input_size();
      if (!planes_.is_image()) FillPlanes(images, parallel);
      const uint8_t* planes = planes_.is_image() ? images : copy_.data();
      const int64_t units = s_.groups * panels_ * blocks_, tasks = std::min(units, kTasks);
      RunTasks(
          parallel, tasks,
          [&](int64_t task) {
            RunUnits(planes, units * task / tasks, units * (task + 1) / tasks,
                     y_ + sample * s_.out_channels * s_.output_size() * BytesOf(epilogue_.output));
          },
          share / static_cast<double>(s_.batch));
    }
  }

 private:
  static constexpr int64_t kTasks = 16, kLeastUnits = 2, kLeastFilters = 32;

  int64_t OffsetOf(int64_t k) const {
    if (planes_.is_image()) return k * channel_size_;
    const int64_t positions = s_.kernel[0] * s_.kernel[1] * s_.kernel[2];
    return k / positions * channel_size_ + planes_.offset(k % positions);
  }

  void FillPlanes(const uint8_t* images, const Parallel& parallel) const {
    const int64_t tasks = std::min(s_.in_channels, kTasks);
    RunTasks(parallel, tasks, [&](int64_t task) {
      for (int64_t c = s_.in_channels * task / tasks; c < s_.in_channels * (task + 1) / tasks; ++c) {
        planes_.Fill(images + c * s_.input_size(), static_cast<uint8_t>(ZeroPointOf(x_, 0)),
                     copy_.data() + c * planes_.channel_size());
      }
    });
  }

  // What finishes the rows of each filter; the corrections of neighbours are mostly the same.
  void PrepareFinishes() {
    finishes_.reserve(s_.out_channels);
    for (int64_t group = 0; group < s_.groups; ++group) {
      const PackedGroup& packed = filter_.At(group);
      const int64_t filters = s_.group_out_channels(), first = group * filters;
      CorrectionSteps steps = StepsOf(packed.plan, first);
      for (int64_t filter = 0; filter < filters; ++filter) {
        const int64_t channel = first + filter;
        const bool is_like_before = filter == 0 || ZeroPointOf(w_, channel) == ZeroPointOf(w_, channel - 1);
        if (!is_like_before) steps = StepsOf(packed.plan, channel);
        finishes_.emplace_back(epilogue_, packed.plan, steps, s_.depth(), channel, packed.rows->sum(filter));
        wants_sums_ = wants_sums_ || finishes_.back().wants_sums();
      }
    }
  }

  CorrectionSteps StepsOf(const IntegerPlan& plan, int64_t channel) const {
    return {sums_, plan, x_.type, ZeroPointOf(x_, 0), w_.type, ZeroPointOf(w_, channel)};
  }

  void RunUnits(const uint8_t* planes, int64_t begin, int64_t end, uint8_t* y) const {
    LanePanel lanes(sums_, x_, offsets_);
    int64_t block = begin % blocks_, panel = begin / blocks_ % panels_, group = begin / blocks_ / panels_;
    for (int64_t unit = begin; unit < end; ++unit) {
      ThrowIfStopped();
      RunUnit(planes, group, panel, block, &lanes, y);
      if (++block < blocks_) continue;
      block = 0;
      if (++panel < panels_) continue;
      panel = 0;
      ++group;
    }
    CountTiles(filter_.At(0).plan.kernels->path, end - begin);
  }

  // A block of the filters of a group against one panel of patches.
  void RunUnit(const uint8_t* planes, int64_t group, int64_t panel, int64_t block, LanePanel* lanes, uint8_t* y) const {
    const PackedGroup& packed = filter_.At(group);
    const int64_t filters = s_.group_out_channels(), tiles = CeilDiv(filters, kTileRows);
    const int64_t begin = tiles * block / blocks_ * kTileRows;
    const int64_t end = std::min(tiles * (block + 1) / blocks_ * kTileRows, filters);
    const int64_t first = panel * kTileLanes;
    const int count = static_cast<int>(std::min<int64_t>(planes_.places() - first, kTileLanes));
    lanes->Load(packed.plan, planes + group * s_.group_in_channels() * channel_size_ + first,
                planes_.is_image() ? count : kTileLanes);  // lanes may be read behind a copy
    int32_t before[kTileLanes], behind[kTileLanes];
    if (wants_sums_) {
      const int64_t shift = KernelXShift(sums_, packed.plan, x_.type, ZeroPointOf(x_, 0));
      lanes->SumCodes(shift, before);
      lanes->SumCodes(shift - StepsOf(packed.plan, group * filters).shifts.x, behind);
    }
    const int64_t elements = packed.rows->stride() / BytesIn(packed.plan.layout());
    for (int64_t filter = begin; filter < end; filter += kTileRows) {
      const int rows = static_cast<int>(std::min<int64_t>(end - filter, kTileRows));
      alignas(64) int32_t sums[kTileRows * kTileLanes];
      packed.plan.TileOf(true)({lanes->data(), packed.rows->row(filter), packed.rows->stride(), elements,
                                packed.plan.group, rows, count, &packed.plan.constants, sums});
      for (int r = 0; r < rows; ++r) {
        const int64_t channel = group * filters + filter + r;
        const FilterFinish& own = finishes_[channel];
        const auto write = [&](const RowFinish& finish) {
          Write(packed.plan, finish, sums + r * kTileLanes, channel, first, count, y);
        };
        wants_sums_ ? write(own.WithSums(before, behind)) : write(own.finish());
      }
    }
  }

  void Write(const IntegerPlan& plan, const RowFinish& finish, const int32_t* sums, int64_t channel, int64_t first,
             int count, uint8_t* y) const {
    const int64_t item_bytes = BytesOf(epilogue_.output);
    uint8_t* results = y + channel * s_.output_size() * item_bytes;
    if (planes_.is_image() && count == kTileLanes) {
      return plan.kernels->finish_row(finish, sums, results + first * item_bytes);
    }
    alignas(64) uint8_t some[kTileLanes * 8];
    plan.kernels->finish_row(finish, sums, some);
    Scatter(planes_.RunsOf(first / kTileLanes), some, item_bytes, results);
  }

  const IntegerSums& sums_;
  const ConvShape& s_;
  const Codes &x_, &w_;
  const PackedIntegerFilter& filter_;
  const IntegerEpilogue& epilogue_;
  const PlaneShape planes_;
  Aligned copy_;
  std::vector<int64_t> offsets_;  // of the chain, in the planes of a group
  int64_t channel_size_, panels_, blocks_;
  std::vector<FilterFinish> finishes_;  // by output channel
  bool wants_sums_ = false;             // whether one of them does
  uint8_t* y_;
};

bool HasKernels(const PackedIntegerFilter& filter, int64_t groups) {
  for (int64_t group = 0; group < groups; ++group) {
    if (filter.At(group).plan.kernels == nullptr) return false;
  }
  return true;
}

void Convolve(const IntegerSums& sums, const ConvShape& s, const Codes& x, const Codes& w,
              const PackedIntegerFilter& filter, const IntegerEpilogue& epilogue, void* y, const Parallel& parallel,
              double share) {
  if (HasKernels(filter, s.groups) && s.depth() > 0) {
    TiledConv conv(sums, s, x, w, filter, epilogue, y);
    if (conv.is_modest()) return conv.Run(parallel, share);
  }
  const std::vector<int64_t> order = FilterOrder(sums, s);
  for (int64_t group = 0; group < s.groups; ++group) {
    const Group sides(sums, s, x, w, group, order);
    (sums.is_wide() ? SumByDefinition<int64_t> : SumByDefinition<int32_t>)(sums, s, sides, group, epilogue, parallel,
                                                                           share / static_cast<double>(s.groups), y);
  }
  CountTiles(CpuPath::kExact, 1);
}

// By way of the sums of the whole call.
template <class Sum>
void ConvolveAndFinish(const Accumulator& accumulator, const IntegerSums& sums, const ConvShape& s, const Codes& x,
                       const Codes& w, const PackedIntegerFilter& filter, const IntegerEpilogue& epilogue, void* y,
                       const Parallel& parallel, StatisticsCollector* statistics) {
  const int64_t size = s.output_size();
  std::vector<Sum> results(s.batch * s.out_channels * size);
  IntegerEpilogue as_they_are;
  as_they_are.output = sums.is_wide() ? IntegerOutput::kInt64 : IntegerOutput::kInt32;
  Convolve(sums, s, x, w, filter, as_they_are, results.data(), parallel, ProductShare(statistics));
  if (statistics != nullptr && s.depth() > 0) {
    Record(accumulator, sums, s, x, w, FilterOrder(sums, s), results.data(), parallel, statistics);
  }
  RunTasks(parallel, s.batch * s.out_channels, [&](int64_t plane) {
    WriteResults(epilogue, results.data() + plane * size, size, plane % s.out_channels, 0, plane * size, y);
  });
}

IntegerSums SumsFor(const Accumulator& accumulator, const ConvShape& s, CodeType w_type) {
  const bool is_depthwise = s.group_in_channels() == 1 && s.group_out_channels() == 1;
  return IntegerSumsOf(accumulator).For(w_type, is_depthwise);
}

}  // namespace

std::shared_ptr<const PackedIntegerFilter> PackIntegerFilter(const Accumulator& accumulator, const ConvShape& shape,
                                                             const Codes& w, const Parallel& parallel) {
  RequireZeroPoints("w", w, shape.out_channels);
  return std::make_shared<const PackedIntegerFilter>(SumsFor(accumulator, shape, w.type), shape, w, parallel);
}

void IntegerConv(const Accumulator& accumulator, const ConvShape& shape, const Codes& x, const Codes& w,
                 const PackedIntegerFilter* packed, const IntegerEpilogue& epilogue, void* y, const Parallel& parallel,
                 StatisticsCollector* statistics) {
  const IntegerSums sums = SumsFor(accumulator, shape, w.type);
  RequireZeroPoints("x", x, 1);
  RequireZeroPoints("w", w, shape.out_channels);
  if (shape.batch * shape.out_channels * shape.output_size() == 0) return;
  std::shared_ptr<const PackedIntegerFilter> packed_now;
  if (packed == nullptr || !packed->IsFor(SelectedIntegerKernels())) {
    packed_now = std::make_shared<const PackedIntegerFilter>(sums, shape, w, parallel);
    packed = packed_now.get();
  }
  const bool has_wide_bias = sums.is_wide() && epilogue.bias != nullptr;
  if (statistics == nullptr && !has_wide_bias) {
    return Convolve(sums, shape, x, w, *packed, epilogue, y, parallel, 1);
  }
  (sums.is_wide() ? ConvolveAndFinish<int64_t> : ConvolveAndFinish<int32_t>)(accumulator, sums, shape, x, w, *packed,
                                                                             epilogue, y, parallel, statistics);
}

}  // namespace lba
