#include "lba/c_api.h"

#include <exception>
#include <new>
#include <stdexcept>
#include <string>

#include "cpu/cpu_path.h"
#include "lba/conv.h"
#include "lba/gradients.h"
#include "lba/matmul.h"

namespace {

thread_local std::string last_error;

int Fail(int code, const std::string& reason) {
  last_error = reason;
  return code;
}

// Runs `body`, which throws std::invalid_argument for the caller's mistakes.
template <class Body>
int Guarded(const Body& body) {
  try {
    body();
    return LBA_OK;
  } catch (const std::invalid_argument& error) {
    return Fail(LBA_INVALID_ARGUMENT, error.what());
  } catch (const std::bad_alloc&) {
    return Fail(LBA_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return Fail(LBA_INTERNAL_ERROR, error.what());
  }
}

void Require(bool condition, const std::string& reason) {
  if (!condition) throw std::invalid_argument(reason);
}

lba::FloatFormat FormatOf(const LbaFormat& format) {
  return {format.mantissa_bits, format.exponent_bits, format.exponent_bias};
}

lba::AccumulatorSpec SpecOf(const LbaSpec* spec) {
  Require(spec != nullptr, "expected a specification, got null");
  const lba::AccumulatorSpec result{FormatOf(spec->product_format), FormatOf(spec->accumulator_format),
                                    spec->chunk_size, spec->underflow != 0};
  const std::string reason = lba::CheckSpec(result);
  Require(reason.empty(), reason);
  return result;
}

lba::Estimator EstimatorOf(int32_t estimator) {
  Require(estimator >= LBA_IMMEDIATE_OVERFLOW && estimator <= LBA_IMMEDIATE_DIFFERENCE,
          "expected an estimator from 0 to 2, got " + std::to_string(estimator));
  return static_cast<lba::Estimator>(estimator);
}

lba::ThreadParallel ParallelOf(int32_t threads) {
  Require(threads >= 1, "expected at least one thread, got " + std::to_string(threads));
  return lba::ThreadParallel(threads);
}

std::shared_ptr<lba::StatisticsCollector> CollectorOf(const char* key) {
  if (key == nullptr) return nullptr;
  std::shared_ptr<lba::StatisticsCollector> collector = lba::FindStatistics(key);
  Require(collector != nullptr, std::string("no statistics run is open for the key \"") + key + "\"");
  return collector;
}

void OpenRun(const char* run, const lba::RunOptions& options) {
  Require(run != nullptr && *run != '\0', "expected the name of a run");
  Require(std::string(run).find('/') == std::string::npos, "expected the name of a run without '/'");
  Require(lba::OpenStatisticsRun(run, options), std::string("the statistics run is open already: ") + run);
}

lba::MatMulShape ShapeOf(const LbaMatMulArgs* args) {
  Require(args != nullptr, "expected arguments, got null");
  Require(args->batch >= 0 && args->rows >= 0 && args->columns >= 0 && args->depth >= 0, "expected sizes of 0 or more");
  lba::MatMulShape shape;
  shape.rows = args->rows;
  shape.columns = args->columns;
  shape.depth = args->depth;
  shape.a_offsets.assign(args->a_offsets, args->a_offsets + args->batch);
  shape.b_offsets.assign(args->b_offsets, args->b_offsets + args->batch);
  shape.a_row_stride = args->a_row_stride;
  shape.a_depth_stride = args->a_depth_stride;
  shape.b_depth_stride = args->b_depth_stride;
  shape.b_column_stride = args->b_column_stride;
  return shape;
}

lba::ConvShape ShapeOf(const LbaConvArgs& args) {
  Require(args.rank >= 1 && args.rank <= 3, "expected 1 to 3 spatial dimensions, got " + std::to_string(args.rank));
  lba::ConvShape shape;
  shape.batch = args.batch;
  shape.in_channels = args.in_channels;
  shape.out_channels = args.out_channels;
  shape.groups = args.groups;
  for (int i = 0; i < args.rank; ++i) {
    const int d = 3 - args.rank + i;
    shape.input[d] = args.input[i];
    shape.kernel[d] = args.kernel[i];
    shape.strides[d] = args.strides[i];
    shape.dilations[d] = args.dilations[i];
    shape.pads_begin[d] = args.pads_begin[i];
    shape.pads_end[d] = args.pads_end[i];
  }
  const std::string reason = lba::CompleteConvShape(&shape);
  Require(reason.empty(), reason);
  return shape;
}

}  // namespace

extern "C" {

const char* lba_version(void) { return LBA_VERSION; }

const char* lba_last_error(void) { return last_error.c_str(); }

const char* lba_cpu_path(void) {
  const char* name = nullptr;
  Guarded([&] { name = lba::CpuPathName(lba::SelectedCpuPath()); });
  return name;
}

void lba_path_counts(int64_t counts[4]) {
  for (int i = 0; i < lba::kCpuPaths; ++i) counts[i] = lba::TilesCounted(static_cast<lba::CpuPath>(i));
}

int lba_matmul(const LbaSpec* spec, const LbaMatMulArgs* args, int32_t threads, const char* statistics) {
  return Guarded([&] {
    const lba::MatMulShape shape = ShapeOf(args);
    lba::MatMul(SpecOf(spec), shape, args->a, args->b, nullptr, args->y, ParallelOf(threads),
                CollectorOf(statistics).get());
  });
}

int lba_conv(const LbaSpec* spec, const LbaConvArgs* args, int32_t threads, const char* statistics) {
  return Guarded([&] {
    Require(args != nullptr, "expected arguments, got null");
    lba::Conv(SpecOf(spec), ShapeOf(*args), args->x, args->w, nullptr, args->bias, args->y, ParallelOf(threads),
              CollectorOf(statistics).get());
  });
}

int lba_matmul_gradients(const LbaSpec* spec, const LbaMatMulArgs* args, int32_t estimator, const float* grad,
                         float* grad_a, float* grad_b, int64_t* gated, int32_t threads) {
  return Guarded([&] {
    const lba::MatMulShape shape = ShapeOf(args);
    Require(gated != nullptr, "expected a place for the count, got null");
    *gated = lba::AddMatMulGradients(SpecOf(spec), EstimatorOf(estimator), shape, args->a, args->b, grad, grad_a,
                                     grad_b, ParallelOf(threads));
  });
}

int lba_conv_gradients(const LbaSpec* spec, const LbaConvArgs* args, int32_t estimator, const float* grad,
                       float* grad_x, float* grad_w, int64_t* gated, int32_t threads) {
  return Guarded([&] {
    Require(args != nullptr && gated != nullptr, "expected arguments and a place for the count, got null");
    *gated = lba::AddConvGradients(SpecOf(spec), EstimatorOf(estimator), ShapeOf(*args), args->x, args->w, grad, grad_x,
                                   grad_w, ParallelOf(threads));
  });
}

int lba_statistics_open(const char* run, double sampled_fraction) {
  return Guarded([&] {
    Require(sampled_fraction > 0 && sampled_fraction <= 1, "expected a sampled fraction in (0, 1]");
    OpenRun(run, {sampled_fraction, {}});
  });
}

int lba_observer_open(const char* run, LbaObserver observer, void* context) {
  return Guarded([&] {
    Require(observer != nullptr, "expected an observer, got null");
    OpenRun(run, {1, {observer, context}});
  });
}

int lba_statistics_close(const char* run) {
  return Guarded([&] { Require(run != nullptr && lba::CloseStatisticsRun(run), "no such statistics run is open"); });
}

int lba_statistics_read(const char* key, LbaStatistics* out) {
  return Guarded([&] {
    Require(key != nullptr && out != nullptr, "expected a key and a place for the counts");
    *out = CollectorOf(key)->Read();
  });
}

}  // extern "C"
