// Patches of a convolution as lanes of tiles.
#ifndef LBA_KERNELS_CPU_INTEGERS_LANE_PANEL_H_
#define LBA_KERNELS_CPU_INTEGERS_LANE_PANEL_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/cpu/integers/packed.h"

namespace lba {

// Patches of up to kTileLanes places of one group, as lanes of tiles.
class LanePanel {
 public:
  LanePanel(const IntegerSums& sums, const Codes& x, const std::vector<int64_t>& offsets)
      : sums_(sums),
        zero_point_(ZeroPointOf(x, 0)),
        source_{nullptr, offsets.data(), static_cast<int64_t>(offsets.size()),
                0,       x.type,         static_cast<uint8_t>(x.type == CodeType::kInt8 ? 0x80 : 0),
                0},
        data_((source_.places + 3) * 4 * kTileLanes) {}

  // `codes`: of the group's channels from the first lane's place on; `count` of them may be read.
  void Load(const IntegerPlan& plan, const uint8_t* codes, int count) {
    source_.codes = codes;
    source_.count = count;
    source_.shift = KernelXShift(sums_, plan, source_.type, zero_point_);
    source_.scale_log2 = plan.x_scale_log2;
    plan.kernels->lay_out_lanes(source_, plan.layout(), data_.data());
  }

  const uint8_t* data() const { return data_.data(); }

  // Of what was loaded, each lane's sum of codes and `shift`.
  void SumCodes(int64_t shift, int32_t* lanes) const {
    std::fill_n(lanes, kTileLanes, 0);
    for (int64_t place = 0; place < source_.places; ++place) {
      if (source_.offsets[place] < 0) continue;
      for (int lane = 0; lane < source_.count; ++lane) {
        lanes[lane] += CodeAt(source_.codes, source_.type, source_.offsets[place] + lane) + static_cast<int32_t>(shift);
      }
    }
  }

 private:
  const IntegerSums& sums_;
  const int32_t zero_point_;
  LaneSource source_;
  Aligned data_;
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_LANE_PANEL_H_
