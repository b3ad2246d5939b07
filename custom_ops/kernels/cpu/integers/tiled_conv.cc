#include <algorithm>

#include "kernels/cpu/integers/lane_panel.h"
#include "kernels/cpu/integers/plane_conv.h"
#include "kernels/cpu/integers/short_copy.h"
#include "lba/watched_run.h"

namespace lba {
namespace {

// The runs of a panel's outputs.
struct Runs {
  PlaneShape::Run runs[kTileLanes];
  int count = 0;

  Runs(const PlaneShape& planes, int64_t first, int64_t places) {
    planes.ForEachRun(first, places, [&](const PlaneShape::Run& run) { runs[count++] = run; });
  }
};

// How a call's parts become tasks.
class TiledConv {
 public:
  explicit TiledConv(const PlaneConv& conv)
      : conv_(conv), s_(conv.s), planes_(conv.planes), offsets_(conv.Offsets()), channel_size_(conv.channel_size()) {
    panels_ = CeilDiv(planes_.places(), kTileLanes);
    const int64_t filters = s_.group_out_channels(), units = s_.groups * panels_;
    blocks_ = std::clamp<int64_t>(CeilDiv(kLeastUnits, units), 1, CeilDiv(filters, kLeastFilters));
    if (!planes_.is_image()) copy_ = Aligned(s_.in_channels * channel_size_ + kTileLanes);
  }

  void Run(uint8_t* y, const Parallel& parallel, double share) {
    for (int64_t sample = 0; sample < s_.batch; ++sample) {
      const uint8_t* images = Bytes(conv_.x.data) + sample * s_.in_channels * s_.input_size();
      if (!planes_.is_image()) FillPlanes(images, parallel);
      const uint8_t* planes = planes_.is_image() ? images : copy_.data();
      const int64_t units = s_.groups * panels_ * blocks_, tasks = std::min(units, kTasks);
      RunTasks(
          parallel, tasks,
          [&](int64_t task) {
            RunUnits(planes, units * task / tasks, units * (task + 1) / tasks,
                     y + sample * s_.out_channels * s_.output_size() * conv_.item_bytes);
          },
          share / static_cast<double>(s_.batch));
    }
  }

 private:
  static constexpr int64_t kTasks = 16, kLeastUnits = 2, kLeastFilters = 32;

  void FillPlanes(const uint8_t* images, const Parallel& parallel) const {
    const int64_t tasks = std::min(s_.in_channels, kTasks);
    RunTasks(parallel, tasks, [&](int64_t task) {
      for (int64_t c = s_.in_channels * task / tasks; c < s_.in_channels * (task + 1) / tasks; ++c) {
        uint8_t* planes = copy_.data() + c * channel_size_;
        planes_.Clear(conv_.zero(), planes);
        planes_.Fill(images + c * s_.input_size(), planes);
      }
    });
  }

  void RunUnits(const uint8_t* planes, int64_t begin, int64_t end, uint8_t* y) const {
    LanePanel lanes(conv_.sums, conv_.x, offsets_);
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
    CountTiles(conv_.filter.At(0).plan.kernels->path, end - begin);
  }

  // A block of the filters of a group against one panel of patches.
  void RunUnit(const uint8_t* planes, int64_t group, int64_t panel, int64_t block, LanePanel* lanes, uint8_t* y) const {
    const PackedGroup& packed = conv_.filter.At(group);
    const int64_t filters = s_.group_out_channels(), tiles = CeilDiv(filters, kTileRows);
    const int64_t begin = tiles * block / blocks_ * kTileRows;
    const int64_t end = std::min(tiles * (block + 1) / blocks_ * kTileRows, filters);
    const int64_t first = panel * kTileLanes;
    const int count = static_cast<int>(std::min<int64_t>(planes_.places() - first, kTileLanes));
    lanes->Load(packed.plan, planes + group * s_.group_in_channels() * channel_size_ + first,
                planes_.is_image() ? count : kTileLanes);  // lanes may be read behind a copy
    int32_t before[kTileLanes], behind[kTileLanes];
    if (conv_.finishes.wants_sums()) {
      const int64_t shift = KernelXShift(conv_.sums, packed.plan, conv_.x.type, ZeroPointOf(conv_.x, 0));
      const int64_t accumulated = conv_.sums.XShift(conv_.x.type, ZeroPointOf(conv_.x, 0));
      lanes->SumCodes(shift, before);
      lanes->SumCodes(accumulated, behind);
    }
    const Runs runs(planes_, first, count);
    const int64_t elements = packed.rows->stride() / BytesIn(packed.plan.layout());
    for (int64_t filter = begin; filter < end; filter += kTileRows) {
      const int rows = static_cast<int>(std::min<int64_t>(end - filter, kTileRows));
      alignas(64) int32_t sums[kTileRows * kTileLanes];
      packed.plan.TileOf(true)({lanes->data(), packed.rows->row(filter), packed.rows->stride(), elements,
                                packed.plan.group, rows, count, &packed.plan.constants, sums});
      for (int r = 0; r < rows; ++r) {
        const int64_t channel = group * filters + filter + r;
        const FilterFinish& own = conv_.finishes.At(channel);
        const auto write = [&](const RowFinish& finish) {
          Write(packed.plan, finish, sums + r * kTileLanes, first, runs,
                y + channel * s_.output_size() * conv_.item_bytes);
        };
        conv_.finishes.wants_sums() ? write(own.WithSums(before, behind)) : write(own.finish());
      }
    }
  }

  // The results of a row, which belong to `y`.
  void Write(const IntegerPlan& plan, const RowFinish& finish, const int32_t* sums, int64_t first, const Runs& runs,
             uint8_t* y) const {
    const int64_t bytes = conv_.item_bytes;
    if (runs.count == 1 && runs.runs[0].count == kTileLanes) {
      return plan.kernels->finish_row(finish, sums, y + runs.runs[0].output * bytes);
    }
    alignas(64) uint8_t results[kTileLanes * 8];
    plan.kernels->finish_row(finish, sums, results);
    for (int i = 0; i < runs.count; ++i) {
      const PlaneShape::Run& run = runs.runs[i];
      CopyShort(results + (run.place - first) * bytes, run.count * bytes, y + run.output * bytes);
    }
  }

  const PlaneConv& conv_;
  const ConvShape& s_;
  const PlaneShape& planes_;
  const std::vector<int64_t> offsets_;
  const int64_t channel_size_;
  Aligned copy_;
  int64_t panels_, blocks_;
};

}  // namespace

void RunTiledConv(const PlaneConv& conv, uint8_t* y, const Parallel& parallel, double share) {
  TiledConv(conv).Run(y, parallel, share);
}

}  // namespace lba
