#include "kernels/cpu/statistics_chain.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "kernels/cpu/extremes.h"
#include "kernels/cpu/fp_environment.h"
#include "kernels/cpu/planner.h"
#include "lba/watched_run.h"

namespace lba {
namespace {

// All fixed vectors against one moving vector x[depth], whose number is `moving`.
void FollowVector(const float* x, int64_t moving, const PanelSource& fixed, const ProductStarts& starts,
                  ChainFollower* follower, std::vector<float>* panel) {
  const int64_t depth = fixed.depth();
  panel->resize(depth * kChainLanes);
  for (int64_t first = 0; first < fixed.vectors(); first += kChainLanes) {
    ThrowIfStopped();
    const int lanes = static_cast<int>(std::min<int64_t>(fixed.vectors() - first, kChainLanes));
    fixed.Pack(first, lanes, kChainLanes, panel->data());
    float values[kChainLanes];
    if (starts.data != nullptr) starts.Copy(moving, 1, 0, first, lanes, 1, 1, values);
    follower->Follow(x, panel->data(), lanes, depth, starts.data == nullptr ? nullptr : values);
  }
}

}  // namespace

double ProductShare(const StatisticsCollector* collector) {
  constexpr double kBesideStatistics = 0.25, kBesideObserver = 0.5;
  if (collector == nullptr) return 1;
  return collector->is_observed() ? kBesideObserver : kBesideStatistics;
}

void CollectStatistics(const Accumulator& accumulator, const PanelSource& moving, const PanelSource& fixed,
                       const ProductStarts& starts, int64_t call, const Parallel& parallel, double share,
                       StatisticsCollector* collector) {
  constexpr double kChainShare = 0.3;  // at the usual fractions sampled
  const SampledPositions samples = SampledPositions::Of(moving.vectors(), call, collector->sampled_fraction());
  const std::shared_ptr<const Planner> planner = PlannerOf(accumulator, moving.depth());
  const auto follow = [&](int64_t task) {
    const FpScope scope(FpMode::kNearest);
    const std::unique_ptr<ChainFollower> follower = planner->FollowChains();
    std::vector<float> x(moving.depth()), panel;
    int64_t followed = 0;
    for (int64_t sample = task; sample < samples.count; sample += 16) {
      const int64_t position = samples.first + sample * samples.step;
      moving.Pack(position, 1, 1, x.data());
      FollowVector(x.data(), position, fixed, starts, follower.get(), &panel);
      followed += fixed.vectors();
    }
    Counts counts = follower->Followed();
    counts.sampled_outputs = followed;
    collector->Merge(counts);
  };
  RunTasks(parallel, std::min<int64_t>(samples.count, 16), follow, kChainShare * share);
  CollectExtremes(planner->groups(), moving, fixed, {starts, planner->started_sum()}, parallel,
                  (1 - kChainShare) * share, collector);
  Counts outputs;
  outputs.outputs = moving.vectors() * fixed.vectors();
  collector->Merge(outputs);
}

}  // namespace lba
