#include <algorithm>

#include "kernels/cpu/integers/plane_conv.h"
#include "kernels/cpu/integers/short_copy.h"
#include "lba/watched_run.h"

namespace lba {
namespace {

// What the channels of a task share.
class Lines {
 public:
  explicit Lines(const PlaneConv& conv)
      : conv_(conv),
        offsets_(conv.Offsets()),
        planes_(conv.planes.channel_size() + kTileLanes),
        results_((conv.planes.places() + kTileLanes) * conv.item_bytes) {
    const IntegerPlan& plan = conv.filter.At(0).plan;
    for (int64_t& offset : offsets_) offset = std::max<int64_t>(offset, 0);  // weights are zero there
    args_.elements = plan.Elements(static_cast<int64_t>(offsets_.size()));
    offsets_.resize(args_.elements * CodesIn(plan.layout()), 0);
    args_.codes = planes_.data();
    args_.offsets = offsets_.data();
    args_.lanes = conv.planes.places();
    const bool is_signed = conv.x.type == CodeType::kInt8;
    args_.flip = is_signed ? 0x80 : 0;
    args_.shift = KernelXShift(conv.sums, plan, conv.x.type, ZeroPointOf(conv.x, 0)) - (is_signed ? 128 : 0);
    args_.out = results_.data();
    args_.item_bytes = conv.item_bytes;
    conv.planes.Clear(conv.zero(), planes_.data());
  }

  void Run(int64_t channel, const uint8_t* image, uint8_t* y) {
    const PackedGroup& packed = conv_.filter.At(channel);
    conv_.planes.Fill(image, planes_.data());
    args_.weights = packed.rows->row(0);
    args_.finish = &conv_.finishes.At(channel).finish();
    packed.plan.kernels->sum_lines(args_);
    const int64_t bytes = conv_.item_bytes;
    conv_.planes.ForEachRun(0, args_.lanes, [&](const PlaneShape::Run& run) {
      CopyShort(results_.data() + run.place * bytes, run.count * bytes, y + run.output * bytes);
    });
  }

 private:
  const PlaneConv& conv_;
  std::vector<int64_t> offsets_;
  Aligned planes_, results_;
  LinesArgs args_;
};

}  // namespace

bool IsOfLines(const PlaneConv& conv) {
  const ConvShape& s = conv.s;
  const bool is_depthwise = s.group_in_channels() == 1 && s.group_out_channels() == 1;
  if (!is_depthwise || conv.planes.is_image() || conv.finishes.wants_sums()) return false;
  for (int64_t channel = 0; channel < s.groups; ++channel) {
    const IntegerPlan& plan = conv.filter.At(channel).plan;
    if (plan.step != IntegerStep::kSum || plan.kernels->sum_lines == nullptr) return false;
  }
  return true;
}

void RunLinesConv(const PlaneConv& conv, uint8_t* y, const Parallel& parallel, double share) {
  constexpr int64_t kTasks = 16;
  const ConvShape& s = conv.s;
  const int64_t channels = s.batch * s.in_channels, tasks = std::min(channels, kTasks);
  const auto run = [&](int64_t task) {
    const int64_t begin = channels * task / tasks, end = channels * (task + 1) / tasks;
    Lines lines(conv);
    for (int64_t channel = begin; channel < end; ++channel) {
      ThrowIfStopped();
      lines.Run(channel % s.in_channels, Bytes(conv.x.data) + channel * s.input_size(),
                y + channel * s.output_size() * conv.item_bytes);
    }
    CountTiles(conv.filter.At(0).plan.kernels->path, (end - begin) * CeilDiv(conv.planes.places(), kTileLanes));
  };
  RunTasks(parallel, tasks, run, share);
}

}  // namespace lba
