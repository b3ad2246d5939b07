#include "cpu/statistics_chain.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/extremes.h"
#include "cpu/fp_environment.h"
#include "lba/fmaq.h"

namespace lba {
namespace {

constexpr int kLanes = 8;  // fixed vectors followed side by side, so that the additions' latencies overlap

// floor(log2|v|) of a double as a bin; v is finite and not zero.
int Log2Bin(double v) {
  const int exponent = static_cast<int>((BitsOf(v) >> 52) & 0x7ff) - 1023;
  return std::clamp(exponent + LBA_LOG2_OFFSET, 0, LBA_LOG2_BINS - 1);
}

void CountValue(double value, int64_t* bins) {
  if (value != 0 && std::isfinite(value)) ++bins[Log2Bin(value)];
}

void CountProduct(double exact, double quantized, const QuantizeConstants& format, LbaEvents* events) {
  ++events->values;
  events->overflows += std::fabs(exact) >= format.max_value;
  events->underflows += exact != 0 && quantized == 0;
}

void CountSum(double addend, double before, double after, const QuantizeConstants& format, LbaEvents* events) {
  const double exact = AddTruncated(addend, before);
  const bool overflows = std::fabs(exact) >= format.max_value;
  ++events->values;
  events->overflows += overflows;
  events->underflows += exact != 0 && after == 0;
  events->swamped += addend != 0 && after == before && !overflows;
}

// The state of one dot product: unquantized (in double) and in the specification's formats.
struct Chain {
  double exact_sum = 0, exact_total = 0;
  double sum = 0, total = 0;
};

class ChainFollower {
 public:
  explicit ChainFollower(const AccumulatorSpec& spec)
      : product_(QuantizeConstants::Of(spec.product_format, spec.underflow)),
        accumulator_(QuantizeConstants::Of(spec.accumulator_format, spec.underflow)) {}

  void Step(float x, float w, Chain* chain) {
    const double exact = static_cast<double>(x) * static_cast<double>(w);
    const double product = Quantize(exact, product_);
    CountProduct(exact, product, product_, &counts_.products);
    CountValue(exact, counts_.products_log2);
    chain->exact_sum += exact;
    CountValue(chain->exact_sum, counts_.partial_sums_log2);
    const double sum = QuantizedSum(product, chain->sum, accumulator_);
    CountSum(product, chain->sum, sum, accumulator_, &counts_.partial_sums);
    chain->sum = sum;
  }

  void EndChunk(Chain* chain) {
    chain->exact_total += chain->exact_sum;
    CountValue(chain->exact_total, counts_.totals_log2);
    const double total = QuantizedSum(chain->sum, chain->total, accumulator_);
    CountSum(chain->sum, chain->total, total, accumulator_, &counts_.totals);
    chain->total = total;
    chain->exact_sum = chain->sum = 0;
  }

  LbaStatistics& counts() { return counts_; }

 private:
  QuantizeConstants product_, accumulator_;
  LbaStatistics counts_{};
};

// All fixed vectors against one moving vector x[depth].
void FollowVector(const AccumulatorSpec& spec, const float* x, const PanelSource& fixed, ChainFollower* follower,
                  std::vector<float>* panel) {
  const int64_t depth = fixed.depth();
  const int64_t chunk = spec.ChunkLength(depth);
  panel->resize(depth * kLanes);
  for (int64_t first = 0; first < fixed.vectors(); first += kLanes) {
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

void CollectStatistics(const AccumulatorSpec& spec, const PanelSource& moving, const PanelSource& fixed, int64_t call,
                       const Parallel& parallel, StatisticsCollector* collector) {
  const int64_t step = std::max<int64_t>(1, std::llround(1.0 / collector->sampled_fraction()));
  const int64_t positions = moving.vectors();
  // Starts walk through the residues of the step by the golden ratio, so that repeated calls see other positions.
  const int64_t start = std::llround(std::fmod(static_cast<double>(call) * 0.6180339887498949, 1.0) * 1e6) % step;
  const int64_t first = std::min(start, positions - 1);
  const int64_t samples = (positions - 1 - first) / step + 1;
  RunTasks(parallel, std::min<int64_t>(samples, 16), [&](int64_t task) {
    const FpScope scope(FpMode::kNearest);
    ChainFollower follower(spec);
    std::vector<float> x(moving.depth()), panel;
    for (int64_t sample = task; sample < samples; sample += 16) {
      moving.Pack(first + sample * step, 1, 1, x.data());
      FollowVector(spec, x.data(), fixed, &follower, &panel);
      follower.counts().sampled_outputs += fixed.vectors();
    }
    collector->Merge(follower.counts());
  });
  CollectExtremes(spec.ChunkLength(moving.depth()), moving, fixed, parallel, collector);
  LbaStatistics outputs{};
  outputs.outputs = positions * fixed.vectors();
  collector->Merge(outputs);
}

}  // namespace lba
