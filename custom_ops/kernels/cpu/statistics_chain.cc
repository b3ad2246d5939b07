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

void FollowSamples(const Planner& planner, const CountedProducts& products, int64_t call, const Parallel& parallel,
                   double share, StatisticsCollector* collector) {
  constexpr int64_t kMostTasks = 16;
  std::vector<SampledPositions> samples;
  std::vector<int64_t> ends;  // of the samples of each product, numbered through
  for (int64_t i = 0; i < products.count; ++i) {
    samples.push_back(SampledPositions::Of(products.moving, call + i, collector->sampled_fraction()));
    ends.push_back(samples.back().count + (ends.empty() ? 0 : ends.back()));
  }
  const int64_t all = ends.back(), tasks = std::min(all, kMostTasks);
  const auto follow = [&](int64_t task) {
    const FpScope scope(FpMode::kNearest);
    const std::unique_ptr<ChainFollower> follower = planner.FollowChains();
    std::vector<float> x(products.depth), panel;
    const int64_t begin = all * task / tasks, end = all * (task + 1) / tasks;
    for (int64_t i = std::upper_bound(ends.begin(), ends.end(), begin) - ends.begin(), n = begin; n < end; ++i) {
      products.visit(i, [&](const PanelSource& moving, const PanelSource& fixed, const ProductStarts& starts) {
        for (; n < std::min(ends[i], end); ++n) {
          const int64_t position = samples[i].first + (n - (ends[i] - samples[i].count)) * samples[i].step;
          moving.Pack(position, 1, 1, x.data());
          FollowVector(x.data(), position, fixed, starts, follower.get(), &panel);
        }
      });
    }
    Counts counts = follower->Followed();
    counts.sampled_outputs = (end - begin) * products.fixed;
    collector->Merge(counts);
  };
  RunTasks(parallel, tasks, follow, share);
  Counts outputs;
  outputs.outputs = products.count * products.moving * products.fixed;
  collector->Merge(outputs);
}

void CollectStatistics(const Accumulator& accumulator, const CountedProducts& products, int64_t call,
                       const Parallel& parallel, double share, StatisticsCollector* collector) {
  const std::shared_ptr<const Planner> planner = PlannerOf(accumulator, products.depth);
  FollowSamples(*planner, products, call, parallel, kFollowedShare * share, collector);
  const double extremes_share = (1 - kFollowedShare) * share / static_cast<double>(products.count);
  for (int64_t i = 0; i < products.count; ++i) {
    products.visit(i, [&](const PanelSource& moving, const PanelSource& fixed, const ProductStarts& starts) {
      CollectExtremes(planner->groups(), moving, fixed, {starts, planner->started_sum()}, parallel, extremes_share,
                      collector);
    });
  }
}

}  // namespace lba
