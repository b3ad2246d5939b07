#include "kernels/cpu/plane_extremes.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cpu/extremes.h"
#include "kernels/cpu/fp_environment.h"
#include "kernels/cpu/path_kernels.h"
#include "kernels/cpu/phase_planes.h"
#include "kernels/cpu/starts.h"
#include "lba/watched_run.h"

namespace lba {
namespace {

constexpr int64_t kMostTasks = 64;

// Where zero and the values of one group of one sample lie; all numbers where one is infinite or NaN.
struct Interval {
  double low = 0, high = 0;

  static Interval Of(const float* values, int64_t count) {
    float low = 0, high = 0;
    int64_t unbounded = 0;
    for (int64_t i = 0; i < count; ++i) {
      low = values[i] < low ? values[i] : low;
      high = values[i] > high ? values[i] : high;
      unbounded += std::fabs(values[i]) <= std::numeric_limits<float>::max() ? 0 : 1;
    }
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    return unbounded > 0 ? Interval{-kInfinity, kInfinity} : Interval{low, high};
  }
};

// The weights of one filter in double, and what bounds its sums.
struct DoubleFilter {
  std::vector<double> weights;
  double positive = 0, negative = 0, largest = 0;  // sums of magnitudes, and the largest of them

  DoubleFilter(const float* w, int64_t depth) : weights(w, w + depth) {
    for (const double weight : weights) {
      (weight < 0 ? negative : positive) += std::fabs(weight);
      largest = std::fabs(weight) <= largest ? largest : std::fabs(weight);  // also to NaN
    }
  }

  // No product is larger; NaN where that is not known.
  double LargestProduct(const Interval& x) const { return largest * std::max(-x.low, x.high); }
  // Nor any sum of some of the products.
  double LargestSum(const Interval& x) const {
    constexpr double kRounding = 1 + 1e-9;  // of sums and bounds, each far below
    const double up = positive * x.high - negative * x.low, down = negative * x.high - positive * x.low;
    return std::isnan(down) || down > up ? down * kRounding : up * kRounding;
  }
};

// One group of one sample after the other.
class PlaneExtremes {
 public:
  PlaneExtremes(const Planner& planner, const ConvShape& shape, const Extremes& known)
      : groups_(planner.groups()),
        started_sum_(planner.started_sum()),
        kernel_(PathKernelsOf(planner.path()).plane_extremes),
        shape_(shape),
        planes_(shape),
        segments_(planes_.InsideSegments()),
        offsets_(planes_.TapOffsets()),
        floats_(shape.group_in_channels() * planes_.channel_size(), 0.0f),
        values_(floats_.size() + kPlaneTail, 0.0),
        masks_(planes_.span() + kPlaneTail, 0),
        extremes_(known) {
    for (int64_t plane = 0; plane < shape.output[0]; ++plane) {
      for (int64_t row = 0; row < shape.output[1]; ++row) {
        std::fill_n(masks_.begin() + planes_.RowIndex(plane, row), shape.output[2], INT64_MAX);
      }
    }
  }

  // `starts` are those of the group's filters; `first` is the sample's first position.
  void Run(const float* x, const DoubleFilter* filters, const ProductStarts& starts, int64_t first) {
    const FpScope scope(FpMode::kNearest);
    const Interval interval = Interval::Of(x, shape_.group_in_channels() * shape_.input_size());
    is_loaded_ = false;
    for (int64_t i = 0; i < shape_.group_out_channels(); ++i) {
      const DoubleFilter& filter = filters[i];
      if (!(filter.LargestProduct(interval) <= extremes_.levels[0])) {
        Load(x);
        RaiseProduct(filter);
      }
      if (starts.data == nullptr && !MayRaise(filter.LargestSum(interval))) continue;
      Load(x);
      if (starts.data != nullptr) LoadStarts(starts, first, i);
      extremes_.Merge(
          kernel_({filter.weights.data(), values_.data(), offsets_.data(), masks_.data(), planes_.span(),
                   shape_.depth(), groups_, starts.data == nullptr ? nullptr : starts_.data(), started_sum_}));
    }
  }

  const Extremes& extremes() const { return extremes_; }

 private:
  bool MayRaise(double bound) const {
    const double* sums = extremes_.levels + 1;
    return !std::all_of(sums, sums + groups_.count + 1, [&](double known) { return bound <= known; });
  }

  void Load(const float* x) {
    if (is_loaded_) return;
    FillPlanes(shape_, planes_, segments_, x, floats_.data());
    std::copy(floats_.begin(), floats_.end(), values_.begin());
    is_loaded_ = true;
  }

  void RaiseProduct(const DoubleFilter& filter) {
    for (int64_t k = 0; k < shape_.depth(); ++k) {
      const double* values = values_.data() + offsets_[k];
      double largest = 0;
      for (int64_t position = 0; position < planes_.span(); ++position) {
        const double magnitude = std::fabs(values[position]);
        if (masks_[position] != 0 && std::isfinite(magnitude)) largest = std::max(largest, magnitude);
      }
      if (std::isfinite(filter.weights[k])) extremes_.Raise(0, largest * std::fabs(filter.weights[k]));
    }
  }

  void LoadStarts(const ProductStarts& starts, int64_t first, int64_t filter) {
    starts_.resize(masks_.size());
    for (int64_t plane = 0; plane < shape_.output[0]; ++plane) {
      for (int64_t row = 0; row < shape_.output[1]; ++row) {
        double* to = starts_.data() + planes_.RowIndex(plane, row);
        for (int64_t i = 0; i < shape_.output[2]; ++i) to[i] = starts.At(first++, filter);
      }
    }
  }

  const SumGroups groups_;
  const int started_sum_;
  const PlaneExtremesKernel kernel_;
  const ConvShape& shape_;
  const PhasePlanes planes_;
  const std::vector<PhasePlanes::Segment> segments_;
  const std::vector<int64_t> offsets_;
  std::vector<float> floats_;
  std::vector<double> values_, starts_;
  std::vector<int64_t> masks_;
  bool is_loaded_ = false;
  Extremes extremes_;
};

}  // namespace

void CollectPlaneExtremes(const Planner& planner, const ConvShape& shape, const float* x, const float* w,
                          const Starts& starts, const Parallel& parallel, double share,
                          StatisticsCollector* collector) {
  std::vector<DoubleFilter> filters;
  filters.reserve(shape.out_channels);
  for (int64_t i = 0; i < shape.out_channels; ++i) filters.emplace_back(w + i * shape.depth(), shape.depth());
  const int64_t all = shape.batch * shape.groups, tasks = std::min(all, kMostTasks);
  const auto run_task = [&](int64_t task) {
    PlaneExtremes extremes(planner, shape, KnownExtremes(*collector));
    for (int64_t i = all * task / tasks; i < all * (task + 1) / tasks; ++i) {
      ThrowIfStopped();
      const int64_t first_filter = i % shape.groups * shape.group_out_channels();
      extremes.Run(x + i * shape.group_in_channels() * shape.input_size(), &filters[first_filter],
                   OfFilters(starts, first_filter, shape.output_size()), i / shape.groups * shape.output_size());
    }
    collector->MergeLargest(extremes.extremes().levels);
  };
  RunTasks(parallel, tasks, run_task, share);
}

}  // namespace lba
