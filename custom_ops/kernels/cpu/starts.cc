#include "kernels/cpu/starts.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "kernels/cpu/fp_environment.h"
#include "kernels/cpu/tile.h"

namespace lba {
namespace {

constexpr int64_t kTargetTasks = 16;

int64_t Offset(const Starts& starts, const std::array<int64_t, 3>& index) {
  return index[0] * starts.strides[0] + index[1] * starts.strides[1] + index[2] * starts.strides[2];
}

std::array<int64_t, 3> IndexOf(int64_t i, const std::array<int64_t, 3>& sizes) {
  return {i / sizes[2] / sizes[1], i / sizes[2] % sizes[1], i % sizes[2]};
}

ValueRange RangeOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  const uint32_t magnitude = bits & 0x7fffffffu;
  return ValueRange{magnitude, (magnitude - 1) & 0x7fffffffu, bits, 0};
}

}  // namespace

void RequireStarts(const Planner& planner) {
  if (planner.has_starts()) return;
  throw std::invalid_argument("expected no initial values: sums of this kind of accumulators start from zero");
}

void ProductStarts::Copy(int64_t moving, int moving_count, int64_t moving_step, int64_t fixed, int fixed_count,
                         int64_t fixed_step, double scale, float* out) const {
  for (int i = 0; i < moving_count; ++i) {
    const float* from = &At(moving + i, fixed);
    float* to = out + i * moving_step;
    for (int j = 0; j < fixed_count; ++j) {
      const float value = from[j * fixed_stride];
      to[j * fixed_step] = scale == 1 ? value : static_cast<float>(value * scale);
    }
  }
}

ProductStarts OfMatrix(const Starts& starts, int64_t entry, int64_t rows) {
  if (starts.data == nullptr) return {};
  const float* first = starts.data + entry * starts.strides[0];
  return {first, nullptr, std::max<int64_t>(rows, 1), 0, starts.strides[1], starts.strides[2]};
}

ProductStarts OfFilters(const Starts& starts, int64_t first_channel, int64_t positions) {
  if (starts.data == nullptr) return {};
  const float* first = starts.data + first_channel * starts.strides[1];
  return {first, nullptr, positions, starts.strides[0], starts.strides[2], starts.strides[1]};
}

int VariantOf(const Planner& planner, const ProductStarts& starts, const PanelBounds& moving, const PanelBounds& fixed,
              bool is_fused) {
  if (starts.data == nullptr) return planner.Variant(moving, fixed, is_fused);
  constexpr double kMostGrowth = 2;  // of a value that is rounded
  return planner.StartedVariant(moving, fixed, is_fused, kMostGrowth * starts.range->max_abs());
}

RoundedStarts::RoundedStarts(const Planner& planner, const Starts& starts, const std::array<int64_t, 3>& sizes,
                             int64_t depth, const PlaceOf& place, const Parallel& parallel) {
  if (starts.data == nullptr) return;
  RequireStarts(planner);
  std::array<int64_t, 3> kept = sizes;
  for (int d = 0; d < 3; ++d) {
    if (starts.strides[d] == 0 && !planner.differs_by_place()) kept[d] = 1;
  }
  const int64_t rows = kept[0] * kept[1], tasks = std::min(rows, kTargetTasks);
  rounded_ = AlignedFloats(PanelFloats(rows, kept[2]));
  std::vector<ValueRange> ranges(tasks);
  RunTasks(parallel, tasks, [&](int64_t task) {
    const FpScope scope(FpMode::kNearest);
    for (int64_t i = rows * task / tasks * kept[2]; i < rows * (task + 1) / tasks * kept[2]; ++i) {
      const std::array<int64_t, 3> index = IndexOf(i, kept);
      const float value = starts.data[Offset(starts, index)];
      ranges[task].Merge(RangeOf(value));
      rounded_.data()[i] = planner.RoundedStart(value, place(index), depth);
    }
  });
  for (const ValueRange& range : ranges) range_.Merge(range);
  const int64_t strides[3] = {kept[1] * kept[2], kept[2], 1};
  values_.data = rounded_.data();
  for (int d = 0; d < 3; ++d) values_.strides[d] = kept[d] == 1 ? 0 : strides[d];
}

void SumNothing(const Planner& planner, const Starts& starts, const std::array<int64_t, 3>& sizes,
                const RoundedStarts::PlaceOf& place, float* y) {
  const int64_t count = sizes[0] * sizes[1] * sizes[2];
  if (starts.data == nullptr) {
    std::fill(y, y + count, 0.0f);
    return;
  }
  RequireStarts(planner);
  const TileKernels& kernels = planner.KernelsOf(CpuPath::kExact);
  const FpScope scope(kernels.mode);
  for (int64_t i = 0; i < count; ++i) {
    const std::array<int64_t, 3> index = IndexOf(i, sizes);
    float out[kDirectRounding];
    kernels.direct[0]({planner.constants(CpuPath::kExact), nullptr, nullptr, nullptr, 0, &planner.order(), 1, out,
                       place(index), starts.data + Offset(starts, index)});
    y[i] = out[0];
  }
}

}  // namespace lba
