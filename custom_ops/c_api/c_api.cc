#include "lba/c_api.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "arithmetic/registry.h"
#include "common/arguments.h"
#include "common/sizes.h"
#include "kernels/cpu/cpu_path.h"
#include "kernels/cpu/integers/path.h"
#include "lba/conv.h"
#include "lba/gradients.h"
#include "lba/integer_product.h"
#include "lba/matmul.h"

namespace {

thread_local std::string last_error, last_levels;

template <class Body>
int Guarded(const Body& body) {
  return lba::Guarded(&last_error, body);
}

lba::Estimator EstimatorOf(int32_t estimator) {
  lba::Require(estimator >= LBA_IMMEDIATE_OVERFLOW && estimator <= LBA_IMMEDIATE_DIFFERENCE,
               "expected an estimator from 0 to 2, got " + std::to_string(estimator));
  return static_cast<lba::Estimator>(estimator);
}

lba::ThreadParallel ParallelOf(int32_t threads) {
  lba::Require(threads >= 1, "expected at least one thread, got " + std::to_string(threads));
  return lba::ThreadParallel(threads);
}

std::shared_ptr<lba::StatisticsCollector> CollectorOf(const char* key) {
  if (key == nullptr) return nullptr;
  std::shared_ptr<lba::StatisticsCollector> collector = lba::FindStatistics(key);
  lba::Require(collector != nullptr, std::string("no statistics run is open for the key \"") + key + "\"");
  return collector;
}

void OpenRun(const char* run, const lba::RunOptions& options) {
  lba::Require(run != nullptr && *run != '\0', "expected the name of a run");
  lba::Require(std::string(run).find('/') == std::string::npos, "expected the name of a run without '/'");
  lba::Require(lba::OpenStatisticsRun(run, options), std::string("the statistics run is open already: ") + run);
}

// Where the matrices of an operand begin. Throws std::invalid_argument for one that reaches beyond 64 bits.
std::vector<int64_t> OffsetsOf(const LbaMatMulArgs& args, const int64_t* offsets, int64_t vectors,
                               int64_t vector_stride, int64_t depth_stride) {
  if (args.batch > 0) lba::RequirePointer(offsets, "of offsets");
  std::vector<int64_t> result(offsets, offsets + args.batch);
  double farthest = 0;
  for (const int64_t offset : result) farthest = std::max(farthest, std::abs(static_cast<double>(offset)));
  lba::RequireExtent(farthest, vectors, vector_stride, args.depth, depth_stride);
  return result;
}

// Throws std::invalid_argument for types that do not go with the accumulator.
void RequireTypes(const lba::Accumulator& accumulator, int32_t first, int32_t second, int32_t result) {
  if (accumulator.integers() == nullptr) {
    for (const int32_t type : {first, second, result}) {
      lba::Require(type == LBA_FLOAT32,
                   "expected the element type float32 (0) with an accumulator of floats, got " + std::to_string(type));
    }
    return;
  }
  for (const int32_t type : {first, second}) {
    lba::Require(type == LBA_UINT8 || type == LBA_INT8,
                 "expected the element types uint8 (2) or int8 (3) with an accumulator of integers, got " +
                     std::to_string(type));
  }
  const int32_t wanted = lba::HasInt64Sums(accumulator) ? LBA_INT64 : LBA_INT32;
  lba::Require(result == wanted, "expected a result of the element type " + std::to_string(wanted) + " of " +
                                     accumulator.text() + ", got " + std::to_string(result));
}

// Codes with zero points from the C structure: one for the left operand, one or many of the right.
struct CodesOf {
  int32_t zero_point;
  lba::Codes left, right;

  CodesOf(const void* a, int32_t a_type, int64_t a_zero_point, const void* b, int32_t b_type,
          const int32_t* b_zero_points, int64_t stride)
      : zero_point(static_cast<int32_t>(std::clamp<int64_t>(a_zero_point, -1000, 1000))),
        left{a, TypeOf(a_type), &zero_point, false},
        right{b, TypeOf(b_type), b_zero_points, stride != 0} {
    lba::Require(stride == 0 || stride == 1,
                 "expected zero points one beside the other, got " + std::to_string(stride));
  }
  CodesOf(const CodesOf&) = delete;

  static lba::CodeType TypeOf(int32_t type) { return type == LBA_UINT8 ? lba::CodeType::kUint8 : lba::CodeType::kInt8; }
};

lba::IntegerEpilogue SumsAsTheyAre(const lba::Accumulator& accumulator) {
  lba::IntegerEpilogue epilogue;
  epilogue.output = lba::HasInt64Sums(accumulator) ? lba::IntegerOutput::kInt64 : lba::IntegerOutput::kInt32;
  return epilogue;
}

const float* Floats(const void* values) { return static_cast<const float*>(values); }

lba::MatMulShape ShapeOf(const LbaMatMulArgs* args) {
  lba::Require(args != nullptr, "expected arguments, got null");
  lba::Require(args->batch >= 0 && args->batch <= lba::kMaxSize,
               "expected a batch from 0 to 2^31 - 1, got " + std::to_string(args->batch));
  lba::RequireMatMulSizes(static_cast<double>(args->batch), args->rows, args->columns, args->depth);
  lba::MatMulShape shape;
  shape.rows = args->rows;
  shape.columns = args->columns;
  shape.depth = args->depth;
  shape.a_offsets = OffsetsOf(*args, args->a_offsets, args->rows, args->a_row_stride, args->a_depth_stride);
  shape.b_offsets = OffsetsOf(*args, args->b_offsets, args->columns, args->b_column_stride, args->b_depth_stride);
  shape.a_row_stride = args->a_row_stride;
  shape.a_depth_stride = args->a_depth_stride;
  shape.b_depth_stride = args->b_depth_stride;
  shape.b_column_stride = args->b_column_stride;
  return shape;
}

// Throws std::invalid_argument for arrays that are null and would be read or written; `y` is the result or its
// gradient.
void RequireArrays(const LbaMatMulArgs& args, const void* y) {
  if (args.batch == 0 || args.rows == 0 || args.columns == 0) return;
  lba::RequirePointer(y, "y");
  if (args.depth == 0) return;
  lba::RequirePointer(args.a, "a");
  lba::RequirePointer(args.b, "b");
}

// Throws std::invalid_argument for initial values that reach beyond 64 bits.
template <class Args>
lba::Starts StartsOf(const Args& args, int64_t entries, int64_t rows, int64_t columns) {
  if (args.initial == nullptr) return {};
  lba::Starts starts{args.initial, {}};
  std::copy_n(args.initial_strides, 3, starts.strides);
  lba::RequireExtent(lba::DistanceOf(entries, starts.strides[0]), rows, starts.strides[1], columns, starts.strides[2]);
  return starts;
}

void RequireNoStarts(const float* initial, const char* reason) {
  lba::Require(initial == nullptr, std::string("expected no initial values: ") + reason);
}

lba::ConvShape ShapeOf(const LbaConvArgs* args) {
  lba::Require(args != nullptr, "expected arguments, got null");
  return lba::ConvShapeOf(*args);
}

constexpr char kOfIntegers[] = "sums of integers start from zero";

// Throws std::invalid_argument for an accumulator of integers, whose sums have no gradients.
void RequireFloats(const lba::Accumulator& accumulator) {
  lba::Require(accumulator.integers() == nullptr,
               "expected an accumulator of floats, whose sums have gradients, got " + accumulator.text());
}

}  // namespace

extern "C" {

const char* lba_version(void) { return LBA_VERSION; }

const char* lba_last_error(void) { return last_error.c_str(); }

const char* lba_kinds(void) { return lba::KindNames().c_str(); }

int lba_accumulator_create(const char* text, LbaAccumulator** out) {
  return Guarded([&] { lba::CreateAccumulator(text, out); });
}

void lba_accumulator_release(LbaAccumulator* accumulator) { delete accumulator; }

const char* lba_accumulator_levels(const LbaAccumulator* accumulator) {
  return accumulator == nullptr ? nullptr : accumulator->levels.c_str();
}

const char* lba_cpu_path(void) {
  const char* name = nullptr;
  Guarded([&] { name = lba::CpuPathName(lba::SelectedCpuPath()); });
  return name;
}

const char* lba_integer_path(void) {
  const char* name = nullptr;
  Guarded([&] { name = lba::SelectedIntegerPathName(); });
  return name;
}

int lba_path_counts(int64_t counts[4]) {
  return Guarded([&] {
    lba::Require(counts != nullptr, "expected a place for the counts, got null");
    for (int i = 0; i < lba::kCpuPaths; ++i) counts[i] = lba::TilesCounted(static_cast<lba::CpuPath>(i));
  });
}

int lba_matmul(const LbaAccumulator* handle, const LbaMatMulArgs* args, int32_t threads, const char* statistics) {
  return Guarded([&] {
    const lba::MatMulShape shape = ShapeOf(args);
    const lba::Accumulator& accumulator = lba::AccumulatorOf(handle);
    RequireTypes(accumulator, args->a_type, args->b_type, args->y_type);
    RequireArrays(*args, args->y);
    const lba::ThreadParallel parallel = ParallelOf(threads);
    const std::shared_ptr<lba::StatisticsCollector> collector = CollectorOf(statistics);
    if (accumulator.integers() != nullptr) {
      RequireNoStarts(args->initial, kOfIntegers);
      const CodesOf codes(args->a, args->a_type, args->a_zero_point, args->b, args->b_type, args->b_zero_points,
                          args->b_zero_point_stride);
      return lba::IntegerMatMul(accumulator, shape, codes.left, codes.right, nullptr, SumsAsTheyAre(accumulator),
                                args->y, parallel, collector.get());
    }
    lba::MatMul(accumulator, shape, Floats(args->a), Floats(args->b), nullptr, static_cast<float*>(args->y), parallel,
                collector.get(), StartsOf(*args, args->batch, args->rows, args->columns));
  });
}

int lba_conv(const LbaAccumulator* handle, const LbaConvArgs* args, int32_t threads, const char* statistics) {
  return Guarded([&] {
    const lba::ConvShape shape = ShapeOf(args);
    const lba::Accumulator& accumulator = lba::AccumulatorOf(handle);
    RequireTypes(accumulator, args->x_type, args->w_type, args->y_type);
    lba::RequireArrays(shape, args->x, args->w, args->y);
    const lba::ThreadParallel parallel = ParallelOf(threads);
    const std::shared_ptr<lba::StatisticsCollector> collector = CollectorOf(statistics);
    if (accumulator.integers() != nullptr) {
      RequireNoStarts(args->initial, kOfIntegers);
      lba::Require(args->bias == nullptr, "expected no bias of sums of integers");
      const CodesOf codes(args->x, args->x_type, args->x_zero_point, args->w, args->w_type, args->w_zero_points,
                          args->w_zero_point_stride);
      return lba::IntegerConv(accumulator, shape, codes.left, codes.right, nullptr, SumsAsTheyAre(accumulator), args->y,
                              parallel, collector.get());
    }
    lba::Conv(accumulator, shape, Floats(args->x), Floats(args->w), nullptr, Floats(args->bias),
              static_cast<float*>(args->y), parallel, collector.get(),
              StartsOf(*args, shape.batch, shape.out_channels, shape.output_size()));
  });
}

int lba_matmul_gradients(const LbaAccumulator* handle, const LbaMatMulArgs* args, int32_t estimator, const float* grad,
                         float* grad_a, float* grad_b, float* grad_initial, int64_t* gated, int32_t threads) {
  return Guarded([&] {
    const lba::MatMulShape shape = ShapeOf(args);
    const lba::Accumulator& accumulator = lba::AccumulatorOf(handle);
    RequireFloats(accumulator);
    RequireTypes(accumulator, args->a_type, args->b_type, args->y_type);
    lba::Require(gated != nullptr, "expected a place for the count, got null");
    RequireArrays(*args, grad);
    const lba::Starts starts = StartsOf(*args, args->batch, args->rows, args->columns);
    *gated = lba::AddMatMulGradients(accumulator, EstimatorOf(estimator), shape, Floats(args->a), Floats(args->b), grad,
                                     grad_a, grad_b, ParallelOf(threads), {starts, grad_initial});
  });
}

int lba_conv_gradients(const LbaAccumulator* handle, const LbaConvArgs* args, int32_t estimator, const float* grad,
                       float* grad_x, float* grad_w, float* grad_initial, int64_t* gated, int32_t threads) {
  return Guarded([&] {
    const lba::ConvShape shape = ShapeOf(args);
    const lba::Accumulator& accumulator = lba::AccumulatorOf(handle);
    RequireFloats(accumulator);
    RequireTypes(accumulator, args->x_type, args->w_type, args->y_type);
    lba::Require(gated != nullptr, "expected a place for the count, got null");
    lba::RequireArrays(shape, args->x, args->w, grad);
    const lba::Starts starts = StartsOf(*args, shape.batch, shape.out_channels, shape.output_size());
    *gated = lba::AddConvGradients(accumulator, EstimatorOf(estimator), shape, Floats(args->x), Floats(args->w), grad,
                                   grad_x, grad_w, ParallelOf(threads), {starts, grad_initial});
  });
}

int lba_statistics_open(const char* run, double sampled_fraction) {
  return Guarded([&] {
    lba::Require(sampled_fraction > 0 && sampled_fraction <= 1, "expected a sampled fraction in (0, 1]");
    OpenRun(run, {sampled_fraction, {}});
  });
}

int lba_observer_open(const char* run, LbaObserver observer, void* context, int32_t fills) {
  return Guarded([&] {
    lba::Require(observer != nullptr, "expected an observer, got null");
    OpenRun(run, {1, {observer, context, fills != 0}});
  });
}

int lba_statistics_close(const char* run) {
  return Guarded(
      [&] { lba::Require(run != nullptr && lba::CloseStatisticsRun(run), "no such statistics run is open"); });
}

int lba_statistics_read(const char* key, LbaStatistics* out) {
  return Guarded([&] {
    lba::Require(key != nullptr, "expected a key, got null");
    CollectorOf(key)->Read().Fill(out);
  });
}

const char* lba_statistics_levels(const char* key) {
  const int code = Guarded([&] {
    lba::Require(key != nullptr, "expected a key, got null");
    last_levels = lba::TextOf(CollectorOf(key)->levels());
  });
  return code == LBA_OK ? last_levels.c_str() : nullptr;
}

int lba_statistics_forget_largest(const char* key) {
  return Guarded([&] {
    lba::Require(key != nullptr, "expected a key, got null");
    CollectorOf(key)->ForgetLargest();
  });
}

}  // extern "C"
