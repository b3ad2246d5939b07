#include "cpu/statistics_chain.h"

#include <algorithm>
#include <vector>

#include "cpu/extremes.h"
#include "cpu/fp_environment.h"
#include "lba/statistics_chain.h"
#include "lba/watched_run.h"

namespace lba {
namespace {

constexpr int kLanes = 8;  // fixed vectors followed side by side, so that the additions' latencies overlap

void CountValue(double value, int64_t* bins) {
  const int bin = Log2Bin(value);
  if (bin >= 0) ++bins[bin];
}

class ChainFollower {
 public:
  explicit ChainFollower(const Accumulator& accumulator) : formats_(ChainFormats::Of(accumulator.spec())) {}

  void Step(float x, float w, Chain* chain) {
    const double product = static_cast<double>(x) * static_cast<double>(w);
    AddProduct(product, formats_, chain, &events_);
    CountValue(product, counts_.products_log2);
    CountValue(chain->exact_sum, counts_.partial_sums_log2);
  }

  void EndChunk(Chain* chain) {
    lba::EndChunk(formats_, chain, &events_);
    CountValue(chain->exact_total, counts_.totals_log2);
  }

  void CountOutputs(int64_t outputs) { counts_.sampled_outputs += outputs; }

  LbaStatistics Counts() const {
    LbaStatistics counts = counts_;
    counts.products = events_.products;
    counts.partial_sums = events_.partial_sums;
    counts.totals = events_.totals;
    return counts;
  }

 private:
  const ChainFormats formats_;
  ChainEvents events_;
  LbaStatistics counts_{};
};

// All fixed vectors against one moving vector x[depth].
void FollowVector(const Accumulator& accumulator, const float* x, const PanelSource& fixed, ChainFollower* follower,
                  std::vector<float>* panel) {
  const int64_t depth = fixed.depth();
  const int64_t chunk = accumulator.spec().ChunkLength(depth);
  panel->resize(depth * kLanes);
  for (int64_t first = 0; first < fixed.vectors(); first += kLanes) {
    ThrowIfStopped();
    const int lanes = static_cast<int>(std::min<int64_t>(fixed.vectors() - first, kLanes));
    fixed.Pack(first, lanes, kLanes, panel->data());
    Chain chains[kLanes];
    for (int64_t begin = 0; begin < depth; begin += chunk) {
      const int64_t end = std::min(begin + chunk, depth);
      for (int64_t k = begin; k < end; ++k) {
        for (int lane = 0; lane < lanes; ++lane) follower->Step(x[k], (*panel)[k * kLanes + lane], &chains[lane]);
      }
      for (int lane = 0; lane < lanes; ++lane) follower->EndChunk(&chains[lane]);
    }
  }
}

}  // namespace

double ProductShare(const StatisticsCollector* collector) {
  constexpr double kBesideStatistics = 0.25, kBesideObserver = 0.5;
  if (collector == nullptr) return 1;
  return collector->is_observed() ? kBesideObserver : kBesideStatistics;
}

void CollectStatistics(const Accumulator& accumulator, const PanelSource& moving, const PanelSource& fixed,
                       int64_t call, const Parallel& parallel, double share, StatisticsCollector* collector) {
  constexpr double kChainShare = 0.3;  // at the usual fractions sampled
  const SampledPositions samples = SampledPositions::Of(moving.vectors(), call, collector->sampled_fraction());
  const auto follow = [&](int64_t task) {
    const FpScope scope(FpMode::kNearest);
    ChainFollower follower(accumulator);
    std::vector<float> x(moving.depth()), panel;
    for (int64_t sample = task; sample < samples.count; sample += 16) {
      moving.Pack(samples.first + sample * samples.step, 1, 1, x.data());
      FollowVector(accumulator, x.data(), fixed, &follower, &panel);
      follower.CountOutputs(fixed.vectors());
    }
    collector->Merge(follower.Counts());
  };
  RunTasks(parallel, std::min<int64_t>(samples.count, 16), follow, kChainShare * share);
  CollectExtremes(accumulator.spec().ChunkLength(moving.depth()), moving, fixed, parallel, (1 - kChainShare) * share,
                  collector);
  LbaStatistics outputs{};
  outputs.outputs = moving.vectors() * fixed.vectors();
  collector->Merge(outputs);
}

}  // namespace lba
