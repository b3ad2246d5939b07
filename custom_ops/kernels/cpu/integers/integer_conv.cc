#include <algorithm>
#include <memory>
#include <vector>

#include "common/arguments.h"
#include "kernels/cpu/integers/definition.h"
#include "kernels/cpu/integers/epilogue.h"
#include "kernels/cpu/integers/observation.h"
#include "kernels/cpu/integers/statistics.h"
#include "kernels/cpu/statistics_chain.h"
#include "lba/integer_product.h"

namespace lba {
namespace {

// The filters of one group, and the patches that they meet.
struct Group {
  PatchChains patches;
  StridedChains filters;

  Group(const IntegerSums& sums, const ConvShape& s, const Codes& x, const Codes& w, int64_t group,
        const std::vector<int64_t>& order)
      : patches(sums, s, x, group, order),
        filters(Bytes(w.data) + group * s.group_out_channels() * s.depth(), order, s.group_out_channels(), s.depth()) {
    filters.AsW(sums, w, group * s.group_out_channels());
  }
};

// y[sample][channel][position], int32 or int64.
template <class Sum>
void SumByDefinition(const IntegerSums& sums, const ConvShape& s, const Codes& x, const Codes& w,
                     const std::vector<int64_t>& order, const Parallel& parallel, double share, Sum* y) {
  const int64_t size = s.output_size(), filters = s.group_out_channels();
  for (int64_t group = 0; group < s.groups; ++group) {
    const Group sides(sums, s, x, w, group, order);
    const auto sum_filter = [&](int64_t filter) {
      Chain patch, weights;
      sides.filters.Load(filter, &weights);
      for (int64_t i = 0; i < s.batch * size; ++i) {
        sides.patches.Load(i, &patch);
        y[(i / size * s.out_channels + group * filters + filter) * size + i % size] =
            static_cast<Sum>(CorrectedSum(sums, patch, weights, s.depth()));
      }
    };
    RunTasks(parallel, filters, sum_filter, share / static_cast<double>(s.groups));
  }
}

// Counts the call, or shows it to the observer, who may write the sums.
void Record(const Accumulator& accumulator, const IntegerSums& sums, const ConvShape& s, const Codes& x, const Codes& w,
            const std::vector<int64_t>& order, void* y, const Parallel& parallel, StatisticsCollector* statistics) {
  if (statistics->is_observed()) {
    LbaConvArgs args = Described<LbaConvArgs>(s);
    args.x_type = TypeOf(x.type);
    args.w_type = TypeOf(w.type);
    args.y_type = sums.is_wide() ? LBA_INT64 : LBA_INT32;
    args.row_step = 1;
    args.x = x.data;
    args.w = w.data;
    args.y = y;
    args.x_zero_point = ZeroPointOf(x, 0);
    args.w_zero_points = w.zero_points;
    args.w_zero_point_stride = w.has_many_zero_points ? 1 : 0;
    statistics->Observe(accumulator, nullptr, &args);
    return;
  }
  const int64_t call = statistics->NextCall(accumulator);
  const double share = (1 - ProductShare(statistics)) / static_cast<double>(s.groups);
  for (int64_t group = 0; group < s.groups; ++group) {
    const Group sides(sums, s, x, w, group, order);
    CollectIntegerStatistics(sums, sides.patches, sides.filters, order, call + group, parallel, share, statistics);
  }
}

template <class Sum>
void SumAndFinish(const Accumulator& accumulator, const IntegerSums& sums, const ConvShape& s, const Codes& x,
                  const Codes& w, const IntegerEpilogue& epilogue, void* y, const Parallel& parallel,
                  StatisticsCollector* statistics) {
  const std::vector<int64_t> order = FilterOrder(sums, s);
  const int64_t size = s.output_size();
  std::vector<Sum> results(s.batch * s.out_channels * size);
  SumByDefinition(sums, s, x, w, order, parallel, ProductShare(statistics), results.data());
  if (statistics != nullptr && s.depth() > 0) {
    Record(accumulator, sums, s, x, w, order, results.data(), parallel, statistics);
  }
  RunTasks(parallel, s.batch * s.out_channels, [&](int64_t plane) {
    WriteResults(epilogue, results.data() + plane * size, size, plane % s.out_channels, 0, plane * size, y);
  });
}

}  // namespace

class PackedIntegerFilter {};

std::shared_ptr<const PackedIntegerFilter> PackIntegerFilter(const Accumulator&, const ConvShape&, const Codes&,
                                                             const Parallel&) {
  return std::make_shared<PackedIntegerFilter>();
}

void IntegerConv(const Accumulator& accumulator, const ConvShape& shape, const Codes& x, const Codes& w,
                 const PackedIntegerFilter*, const IntegerEpilogue& epilogue, void* y, const Parallel& parallel,
                 StatisticsCollector* statistics) {
  const bool is_depthwise = shape.group_in_channels() == 1 && shape.group_out_channels() == 1;
  const IntegerSums sums = IntegerSumsOf(accumulator).For(w.type, is_depthwise);
  RequireZeroPoints("x", x, 1);
  RequireZeroPoints("w", w, shape.out_channels);
  if (shape.batch * shape.out_channels * shape.output_size() == 0) return;
  (sums.is_wide() ? SumAndFinish<int64_t> : SumAndFinish<int32_t>)(accumulator, sums, shape, x, w, epilogue, y,
                                                                   parallel, statistics);
}

}  // namespace lba
