#include <algorithm>
#include <memory>
#include <vector>

#include "common/arguments.h"
#include "kernels/cpu/integers/definition.h"
#include "kernels/cpu/integers/epilogue.h"
#include "kernels/cpu/integers/observation.h"
#include "kernels/cpu/integers/plane_conv.h"
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

// Results of one group by the definition.
template <class Sum>
void SumByDefinition(const IntegerSums& sums, const ConvShape& s, const Group& sides, int64_t group,
                     const IntegerEpilogue& epilogue, const Parallel& parallel, double share, void* y) {
  const int64_t size = s.output_size(), filters = s.group_out_channels();
  const auto sum_patches = [&](int64_t i) {
    Chain patch, weights;
    sides.patches.Load(i, &patch);
    for (int64_t filter = 0; filter < filters; ++filter) {
      sides.filters.Load(filter, &weights);
      const int64_t channel = group * filters + filter;
      const Sum sum = static_cast<Sum>(CorrectedSum(sums, patch, weights, s.depth()));
      WriteResults(epilogue, &sum, 1, channel, 0, (i / size * s.out_channels + channel) * size + i % size, y);
    }
  };
  RunTasks(parallel, s.batch * size, sum_patches, share);
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

void Convolve(const IntegerSums& sums, const ConvShape& s, const Codes& x, const Codes& w,
              const PackedIntegerFilter& filter, const IntegerEpilogue& epilogue, void* y, const Parallel& parallel,
              double share) {
  const PlaneShape planes(s);
  if (filter.has_kernels() && s.depth() > 0 && planes.is_modest()) {
    const FilterFinishes finishes(sums, s, x, w, filter, epilogue);
    const PlaneConv conv{sums, s, x, filter, planes, finishes, BytesOf(epilogue.output)};
    return (IsOfLines(conv) ? RunLinesConv : RunTiledConv)(conv, static_cast<uint8_t*>(y), parallel, share);
  }
  const std::vector<int64_t> order = FilterOrder(sums, s);
  for (int64_t group = 0; group < s.groups; ++group) {
    const Group sides(sums, s, x, w, group, order);
    (sums.is_wide() ? SumByDefinition<int64_t> : SumByDefinition<int32_t>)(sums, s, sides, group, epilogue, parallel,
                                                                           share / static_cast<double>(s.groups), y);
  }
  CountTiles(CpuPath::kExact, 1);
}

// By way of the sums of the whole call.
template <class Sum>
void ConvolveAndFinish(const Accumulator& accumulator, const IntegerSums& sums, const ConvShape& s, const Codes& x,
                       const Codes& w, const PackedIntegerFilter& filter, const IntegerEpilogue& epilogue, void* y,
                       const Parallel& parallel, StatisticsCollector* statistics) {
  const int64_t size = s.output_size();
  std::vector<Sum> results(s.batch * s.out_channels * size);
  IntegerEpilogue as_they_are;
  as_they_are.output = sums.is_wide() ? IntegerOutput::kInt64 : IntegerOutput::kInt32;
  Convolve(sums, s, x, w, filter, as_they_are, results.data(), parallel, ProductShare(statistics));
  if (statistics != nullptr && s.depth() > 0) {
    Record(accumulator, sums, s, x, w, FilterOrder(sums, s), results.data(), parallel, statistics);
  }
  RunTasks(parallel, s.batch * s.out_channels, [&](int64_t plane) {
    WriteResults(epilogue, results.data() + plane * size, size, plane % s.out_channels, 0, plane * size, y);
  });
}

IntegerSums SumsFor(const Accumulator& accumulator, const ConvShape& s, CodeType w_type) {
  const bool is_depthwise = s.group_in_channels() == 1 && s.group_out_channels() == 1;
  return IntegerSumsOf(accumulator).For(w_type, is_depthwise);
}

}  // namespace

std::shared_ptr<const PackedIntegerFilter> PackIntegerFilter(const Accumulator& accumulator, const ConvShape& shape,
                                                             const Codes& w, const Parallel& parallel) {
  RequireZeroPoints("w", w, shape.out_channels);
  return std::make_shared<const PackedIntegerFilter>(SumsFor(accumulator, shape, w.type), shape, w, parallel);
}

void IntegerConv(const Accumulator& accumulator, const ConvShape& shape, const Codes& x, const Codes& w,
                 const PackedIntegerFilter* packed, const IntegerEpilogue& epilogue, void* y, const Parallel& parallel,
                 StatisticsCollector* statistics) {
  const IntegerSums sums = SumsFor(accumulator, shape, w.type);
  RequireZeroPoints("x", x, 1);
  RequireZeroPoints("w", w, shape.out_channels);
  if (shape.batch * shape.out_channels * shape.output_size() == 0) return;
  std::shared_ptr<const PackedIntegerFilter> packed_now;
  if (packed == nullptr || !packed->IsFor(SelectedIntegerKernels())) {
    packed_now = std::make_shared<const PackedIntegerFilter>(sums, shape, w, parallel);
    packed = packed_now.get();
  }
  const bool has_wide_bias = sums.is_wide() && epilogue.bias != nullptr;
  if (statistics == nullptr && !has_wide_bias) {
    return Convolve(sums, shape, x, w, *packed, epilogue, y, parallel, 1);
  }
  (sums.is_wide() ? ConvolveAndFinish<int64_t> : ConvolveAndFinish<int32_t>)(accumulator, sums, shape, x, w, *packed,
                                                                             epilogue, y, parallel, statistics);
}

}  // namespace lba
