#include "arithmetic/splitk/cpu_planner.h"

#include <algorithm>
#include <utility>

namespace lba {
namespace {

constexpr int64_t kDirectPositions = 256;  // computed together, so that their totals stay in the cache

// The norms of a panel are those of its chunks, which are bounds of a slice's as long as none spans two.
SumOrder PanelOrder(const SplitKSpec& spec, int64_t depth) {
  const int64_t size = spec.SliceSize(depth), chunk = spec.inner->PlanOnCpu(size)->chunk();
  SumOrder order;
  order.lengths[0] = chunk < size && size % chunk == 0 ? chunk : size;
  return order;
}

class CpuSplitK : public SplitK {
 public:
  using SplitK::SplitK;

  std::shared_ptr<const Planner> PlanOnCpu(int64_t depth) const override {
    return std::make_shared<const SplitPlanner>(spec(), depth);
  }
};

}  // namespace

Slices::Slices(const SplitKSpec& spec, int64_t all)
    : depth(all), size(spec.SliceSize(all)), total(spec.total), constants(spec.total.constants()) {
  const int64_t count = std::max<int64_t>((all + size - 1) / size, 1);
  for (int64_t slice = 0; slice < count; ++slice) {
    const SharedAccumulator other = spec.inner->InSlice(slice);
    const bool is_short = slice > 0 && slice + 1 == count && all % size != 0;
    if (slice > 0 && other == nullptr && !is_short) {
      planners.push_back(planners.front());
      continue;
    }
    const Accumulator& accumulator = other == nullptr ? *spec.inner : *other;
    planners.push_back(accumulator.PlanOnCpu(is_short ? all % size : size));
  }
}

void Slices::Begin(const float* starts, int64_t count, float* totals) const {
  for (int64_t i = 0; i < count; ++i) totals[i] = starts == nullptr ? 0.0f : static_cast<float>(StartFrom(starts[i]));
}

void Slices::Combine(const float* parts, int64_t count, float* totals) const {
  if (total.is_float32()) {
    for (int64_t i = 0; i < count; ++i) totals[i] += parts[i];
    return;
  }
  const RuledOutput output(constants, {});
  for (int64_t i = 0; i < count; ++i) totals[i] = static_cast<float>(output.Join(totals[i], parts[i], 1, 0));
}

SplitPlanner::SplitPlanner(const SplitKSpec& spec, int64_t depth)
    : Planner(PanelOrder(spec, depth)), slices_(spec, depth) {
  for (int path = 0; path < kCpuPaths; ++path) {
    AddKernels(static_cast<CpuPath>(path), std::make_integer_sequence<int, kMostVariants>());
  }
}

template <int... kVariants>
void SplitPlanner::AddKernels(CpuPath path, std::integer_sequence<int, kVariants...>) {
  const int index = static_cast<int>(path);
  // No plan takes another path of vectors, whose tables a CPU without them cannot even make. Where a path has no
  // kernels, they are the definition's.
  const bool is_planned = path == this->path() || path == CpuPath::kPortable;
  const CpuPath own = is_planned ? first().KernelsOf(path).path : CpuPath::kExact;
  sliced_[index] = {&slices_, own};
  kernels_[index] = {own, FpMode::kNearest, {RunTile<kVariants>...}, {RunDirect<kVariants>...}, {}};
}

SumGroups SplitPlanner::groups() const {
  SumGroups groups = first().groups();
  groups.sizes[groups.count++] = groups.restart = slices_.size;
  return groups;
}

std::unique_ptr<ChainFollower> SplitPlanner::FollowChains() const { return FollowSlices(slices_, groups().levels()); }

template <int kVariant>
void SplitPlanner::RunTile(const TileArgs& args) {
  const auto& [slices, path] = *static_cast<const Sliced*>(args.constants);
  alignas(64) float part[kRowPanel * kColumnPanel];
  for (int r = 0; r < args.row_count; ++r) {
    const int first = r * kColumnPanel;
    slices->Begin(args.starts == nullptr ? nullptr : args.starts + first, args.column_count, args.out + first);
  }
  int64_t begin = 0;
  for (size_t slice = 0; slice < slices->count(); begin = slices->end(slice++)) {
    const Planner& planner = *slices->planners[slice];
    const TileKernels& kernels = planner.KernelsOf(path);
    TileArgs inner = args;
    inner.constants = planner.constants(path);
    inner.rows += begin * kRowPanel;
    inner.columns += begin * kColumnPanel;
    inner.depth = slices->end(slice) - begin;
    inner.order = &planner.order();
    inner.out = part;
    inner.starts = nullptr;
    {
      const FpScope scope(kernels.mode);
      kernels.tile[kVariant](inner);
    }
    for (int r = 0; r < args.row_count; ++r) {
      slices->Combine(part + r * kColumnPanel, args.column_count, args.out + r * kColumnPanel);
    }
  }
}

template <int kVariant>
void SplitPlanner::RunDirect(const DirectArgs& args) {
  const auto& [slices, path] = *static_cast<const Sliced*>(args.constants);
  alignas(64) float part[kDirectPositions];
  slices->Begin(args.starts, args.count, args.out);
  for (int64_t q = 0; q < args.count; q += kDirectPositions) {
    int64_t begin = 0;
    for (size_t slice = 0; slice < slices->count(); begin = slices->end(slice++)) {
      const Planner& planner = *slices->planners[slice];
      const TileKernels& kernels = planner.KernelsOf(path);
      DirectArgs inner = args;
      inner.constants = planner.constants(path);
      inner.weights += begin;
      inner.plane += q;
      inner.offsets += begin;
      inner.depth = slices->end(slice) - begin;
      inner.order = &planner.order();
      inner.count = std::min(args.count - q, kDirectPositions);
      inner.out = part;
      inner.starts = nullptr;
      {
        const FpScope scope(kernels.mode);
        kernels.direct[kVariant](inner);
      }
      slices->Combine(part, inner.count, args.out + q);
    }
  }
}

void SplitPlanner::OpenTile(const OpenTileArgs& args) {
  const Slices* slices = static_cast<const Sliced*>(args.tile.constants)->slices;
  const RuledOutput total(slices->constants, {});
  const bool is_difference = args.estimator == Estimator::kImmediateDifference;
  alignas(64) float part[kRowPanel * kColumnPanel];
  const float* starts = args.tile.starts;
  const auto clear = [&](int row, int column, int64_t first, int64_t last) {
    for (int64_t k = first; k < last; ++k) args.open[k * kRowPanel + row] &= ~(uint32_t{1} << column);
  };
  const auto is_gated = [&](bool adds, double before, double after) {
    return is_difference ? adds && after == before : slices->constants.accumulator.IsLargest(after);
  };
  for (int r = 0; r < args.tile.row_count; ++r) {
    const int first = r * kColumnPanel;
    slices->Begin(starts == nullptr ? nullptr : starts + first, args.tile.column_count, args.tile.out + first);
    for (int c = 0; starts != nullptr && c < args.tile.column_count; ++c) {
      if (is_gated(starts[first + c] != 0, 0, args.tile.out[first + c])) clear(r, c, slices->depth, slices->depth + 1);
    }
  }
  int64_t begin = 0, end = 0;
  for (size_t slice = 0; slice < slices->count(); ++slice, begin = end) {
    const Planner& planner = *slices->planners[slice];
    end = slices->end(slice);
    OpenTileArgs inner = args;
    inner.tile.constants = planner.constants(CpuPath::kExact);
    inner.tile.rows += begin * kRowPanel;
    inner.tile.columns += begin * kColumnPanel;
    inner.tile.depth = end - begin;
    inner.tile.order = &planner.order();
    inner.tile.out = part;
    inner.tile.starts = nullptr;
    inner.open += begin * kRowPanel;
    planner.open()(inner);
    for (int r = 0; r < args.tile.row_count; ++r) {
      for (int c = 0; c < args.tile.column_count; ++c) {
        const int output = r * kColumnPanel + c;
        const double before = args.tile.out[output], after = total.Join(before, part[output], 1, 0);
        args.tile.out[output] = static_cast<float>(after);
        if (!is_gated(part[output] != 0, before, after)) continue;
        const bool is_recursive = args.estimator == Estimator::kRecursiveOverflow;
        clear(r, c, is_recursive ? 0 : begin, end);
        if (is_recursive && starts != nullptr) clear(r, c, slices->depth, slices->depth + 1);
      }
    }
  }
}

SharedAccumulator MakeSplitK(const SplitKSpec& spec) { return std::make_shared<const CpuSplitK>(spec); }

}  // namespace lba
