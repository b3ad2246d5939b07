#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "common/arguments.h"
#include "kernels/cpu/integers/definition.h"
#include "kernels/cpu/integers/epilogue.h"
#include "kernels/cpu/integers/lane_finish.h"
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

// What finishes the rows of tiles whose rows are filters.
struct FilterFinish {
  RowFinish finish;
  CorrectionSteps steps;
  bool has_lane_sums;

  FilterFinish(const IntegerSums& sums, const IntegerPlan& plan, const IntegerEpilogue& epilogue, int64_t depth,
               int64_t channel, int64_t sum, CodeType x_type, int32_t x_zero_point, CodeType w_type,
               int32_t w_zero_point)
      : steps(sums, plan, x_type, x_zero_point, w_type, w_zero_point) {
    SetEpilogue(epilogue, plan, &finish);
    finish.before = Of(steps.before, sum, depth);
    finish.behind = Of(steps.behind, sum - depth * steps.shifts.w, depth);
    has_lane_sums = finish.before.factor != 0 || finish.behind.factor != 0;
    RowCorrection& last = plan.holds_sums ? finish.before : finish.behind;
    if (epilogue.bias != nullptr) {
      last.term =
          static_cast<int32_t>(static_cast<uint32_t>(last.term) + static_cast<uint32_t>(epilogue.bias[channel]));
    }
    finish.scale = ScaleOf(epilogue, channel);
    finish.has_float_bias = epilogue.float_bias != nullptr;
    if (finish.has_float_bias) finish.float_bias = epilogue.float_bias[channel];
  }

 private:
  static RowCorrection Of(const Offsets& offsets, int64_t sum, int64_t depth) {
    RowCorrection correction;
    correction.factor = static_cast<int32_t>(-offsets.w);
    correction.term = static_cast<int32_t>(depth * offsets.x * offsets.w - offsets.x * sum);
    return correction;
  }
};

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

// Patches of up to kTileLanes places of one group, as lanes of tiles.
class LanePanel {
 public:
  LanePanel(const IntegerPlan& plan, const IntegerSums& sums, const Codes& x, const std::vector<int64_t>& offsets)
      : plan_(plan),
        offsets_(offsets),
        shift_(KernelXShift(sums, plan, x.type, ZeroPointOf(x, 0))),
        data_(plan.Elements(static_cast<int64_t>(offsets.size())) * BytesIn(plan.layout()) * kTileLanes) {
    lines_.type = x.type;
    lines_.flip = x.type == CodeType::kInt8 ? 0x80 : 0;
    lines_.shift = shift_;
    lines_.scale_log2 = plan.x_scale_log2;
  }

  // `planes`: those of the group's channels from the first lane's place on; `count` of them may be read.
  void Load(const uint8_t* planes, int count, bool wants_sums) {
    const int in_element = CodesIn(plan_.layout());
    const int64_t places = static_cast<int64_t>(offsets_.size()), bytes = BytesIn(plan_.layout()) * kTileLanes;
    std::fill_n(kernel_sums_, kTileLanes, 0);
    for (int64_t place = 0, element = 0; place < places; place += in_element, ++element) {
      for (int i = 0; i < in_element; ++i) {
        const int64_t offset = place + i < places ? offsets_[place + i] : -1;
        lines_.data[i] = offset < 0 ? zeros_ : Line(planes + offset, count, i);
        if (wants_sums && offset >= 0) AddLine(lines_.data[i]);
      }
      plan_.kernels->lay_out_lanes(lines_, plan_.layout(), data_.data() + element * bytes);
    }
  }

  const uint8_t* data() const { return data_.data(); }
  const int32_t* kernel_sums() const { return kernel_sums_; }

 private:
  const uint8_t* Line(const uint8_t* from, int count, int i) {
    if (count == kTileLanes) return from;
    std::memcpy(copies_[i], from, count);
    return copies_[i];
  }
  void AddLine(const uint8_t* line) {
    for (int lane = 0; lane < kTileLanes; ++lane) {
      kernel_sums_[lane] += CodeAt(line, lines_.type, lane) + shift_;
    }
  }

  const IntegerPlan& plan_;
  const std::vector<int64_t>& offsets_;
  const int32_t shift_;
  LaneLines lines_{};
  Aligned data_;
  int32_t kernel_sums_[kTileLanes];
  uint8_t copies_[4][kTileLanes] = {};
  const uint8_t zeros_[kTileLanes] = {};
};

// Results of lanes, to the outputs that they belong to.
void Scatter(const PlaneShape& shape, int64_t first, int count, const uint8_t* results, int64_t item_bytes,
             uint8_t* channel) {
  for (PlaneShape::Run run = shape.RunAt(first); run.count > 0 && run.first < first + count;
       run = shape.RunAt(run.first + run.count)) {
    const int64_t length = std::min(run.count, first + count - run.first);
    std::memcpy(channel + run.output * item_bytes, results + (run.first - first) * item_bytes, length * item_bytes);
  }
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
      : kernels_(SelectedIntegerKernels()), groups_(s.groups) {
    const std::vector<int64_t> order = FilterOrder(sums, s);
    const int64_t filters = s.group_out_channels();
    RunTasks(parallel, s.groups, [&](int64_t group) {
      StridedChains weights(Bytes(w.data) + group * filters * s.depth(), order, filters, s.depth());
      weights.AsW(sums, w, group * filters);
      groups_[group] = std::make_unique<const PackedGroup>(sums, weights);
    });
  }
  const PackedGroup& At(int64_t group) const { return *groups_[group]; }
  bool IsFor(const IntegerKernels* kernels) const { return kernels_ == kernels; }

 private:
  const IntegerKernels* const kernels_;
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
    for (const int64_t k : FilterOrder(sums, s)) offsets_.push_back(k < 0 ? -1 : OffsetOf(k));
    panels_ = CeilDiv64(planes_.places(), kTileLanes);
    const int64_t filters = s.group_out_channels(), units = s.groups * panels_;
    blocks_ = std::clamp<int64_t>(CeilDiv64(kLeastUnits, units), 1, CeilDiv64(filters, kLeastFilters));
    if (!planes_.is_image()) copy_ = Aligned(s.in_channels * planes_.channel_size() + kTileLanes);
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
  static constexpr int64_t kTasks = 16, kLeastUnits = 4, kLeastFilters = 32;

  int64_t OffsetOf(int64_t k) const {
    const int64_t positions = s_.kernel[0] * s_.kernel[1] * s_.kernel[2];
    const int64_t channel_size = planes_.is_image() ? s_.input_size() : planes_.channel_size();
    return k / positions * channel_size + (planes_.is_image() ? 0 : planes_.offset(k % positions));
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

  void RunUnits(const uint8_t* planes, int64_t begin, int64_t end, uint8_t* y) const {
    for (int64_t unit = begin; unit < end; ++unit) {
      ThrowIfStopped();
      RunUnit(planes, unit / blocks_ / panels_, unit / blocks_ % panels_, unit % blocks_, y);
    }
  }

  // A block of the filters of a group against one panel of patches.
  void RunUnit(const uint8_t* planes, int64_t group, int64_t panel, int64_t block, uint8_t* y) const {
    const PackedGroup& packed = filter_.At(group);
    const int64_t first = panel * kTileLanes, filters = s_.group_out_channels();
    const int64_t tiles = CeilDiv64(filters, kTileRows);
    const int64_t begin = tiles * block / blocks_ * kTileRows;
    const int64_t end = std::min(tiles * (block + 1) / blocks_ * kTileRows, filters);
    const int count = static_cast<int>(std::min<int64_t>(planes_.places() - first, kTileLanes));
    std::vector<FilterFinish> finishes;
    bool wants_sums = false;
    for (int64_t filter = begin; filter < end; ++filter) {
      const int64_t channel = group * filters + filter;
      finishes.emplace_back(sums_, packed.plan, epilogue_, s_.depth(), channel, packed.rows->sum(filter), x_.type,
                            ZeroPointOf(x_, 0), w_.type, ZeroPointOf(w_, channel));
      wants_sums = wants_sums || finishes.back().has_lane_sums;
    }
    LanePanel lanes(packed.plan, sums_, x_, offsets_);
    const int64_t channel_size = planes_.is_image() ? s_.input_size() : planes_.channel_size();
    lanes.Load(planes + group * s_.group_in_channels() * channel_size + first, count, wants_sums);
    int32_t accumulated[kTileLanes];
    if (wants_sums) {
      for (int i = 0; i < kTileLanes; ++i) {
        accumulated[i] = lanes.kernel_sums()[i] - static_cast<int32_t>(s_.depth() * finishes[0].steps.shifts.x);
      }
    }
    for (int64_t filter = begin; filter < end; filter += kTileRows) {
      const int rows = static_cast<int>(std::min<int64_t>(end - filter, kTileRows));
      for (int r = 0; r < rows && wants_sums; ++r) {
        RowFinish& finish = finishes[filter - begin + r].finish;
        if (finish.before.factor != 0) finish.before.lane_factors = lanes.kernel_sums();
        if (finish.behind.factor != 0) finish.behind.lane_factors = accumulated;
      }
      RunTile(packed, lanes, filter, rows, first, count, &finishes[filter - begin],
              y + (group * filters + filter) * s_.output_size() * BytesOf(epilogue_.output));
    }
    CountTiles(packed.plan.kernels->path, CeilDiv64(end - begin, kTileRows));
  }

  void RunTile(const PackedGroup& packed, const LanePanel& lanes, int64_t filter, int rows, int64_t first, int count,
               const FilterFinish* finishes, uint8_t* channels) const {
    alignas(64) int32_t sums[kTileRows * kTileLanes];
    const IntegerPlan& plan = packed.plan;
    const int64_t elements = packed.rows->stride() / BytesIn(plan.layout());
    plan.TileOf(true)({lanes.data(), packed.rows->row(filter), packed.rows->stride(), elements, plan.group, rows, count,
                       &plan.constants, sums});
    const int64_t item_bytes = BytesOf(epilogue_.output), channel_bytes = s_.output_size() * item_bytes;
    for (int r = 0; r < rows; ++r) {
      if (planes_.is_image() && count == kTileLanes) {
        plan.kernels->finish_row(finishes[r].finish, sums + r * kTileLanes,
                                 channels + r * channel_bytes + first * item_bytes);
        continue;
      }
      alignas(64) uint8_t results[kTileLanes * 8];
      plan.kernels->finish_row(finishes[r].finish, sums + r * kTileLanes, results);
      Scatter(planes_, first, count, results, item_bytes, channels + r * channel_bytes);
    }
  }

  const IntegerSums& sums_;
  const ConvShape& s_;
  const Codes &x_, &w_;
  const PackedIntegerFilter& filter_;
  const IntegerEpilogue& epilogue_;
  const PlaneShape planes_;
  Aligned copy_;
  std::vector<int64_t> offsets_;  // of the chain, in the planes of a group
  int64_t panels_, blocks_;
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
