#include "common/arguments.h"

#include "common/sizes.h"

namespace lba {
namespace {

void RequireSize(const char* what, int64_t size) {
  Require(size >= 0 && size <= kMaxSize,
          std::string("expected ") + what + " from 0 to 2^31 - 1, got " + std::to_string(size));
}

}  // namespace

void RequireMatMulSizes(double batch, int64_t rows, int64_t columns, int64_t depth) {
  RequireSize("rows", rows);
  RequireSize("columns", columns);
  RequireSize("a depth", depth);
  for (const double values : {ProductOf({rows, columns}), ProductOf({rows, depth}), ProductOf({columns, depth})}) {
    Require(batch * values <= kMaxValues,
            "expected matrices that memory can hold, got " + std::to_string(batch * values) + " values");
  }
  const double multiplies = batch * ProductOf({rows, columns, depth});
  Require(multiplies <= kMaxMultiplies, "expected at most 2^62 products, got " + std::to_string(multiplies));
}

void RequireExtent(double start, int64_t vectors, int64_t vector_stride, int64_t depth, int64_t depth_stride) {
  const double extent = start + DistanceOf(vectors, vector_stride) + DistanceOf(depth, depth_stride);
  Require(extent <= kMaxExtent,
          "expected strides and offsets that stay within memory, got an element at " + std::to_string(extent));
}

void RequireArrays(const ConvShape& shape, const void* x, const void* w, const void* y) {
  if (shape.batch * shape.out_channels * shape.output_size() == 0) return;
  RequirePointer(y, "y");
  if (shape.depth() == 0) return;
  RequirePointer(x, "x");
  RequirePointer(w, "w");
}

void CreateAccumulator(const char* text, LbaAccumulator** out) {
  Require(text != nullptr && out != nullptr, "expected a text and a place for the accumulator, got null");
  const SharedAccumulator accumulator = ParseAccumulator(text);
  *out = new LbaAccumulator{accumulator, TextOf(accumulator->levels())};
}

const Accumulator& AccumulatorOf(const LbaAccumulator* handle) {
  Require(handle != nullptr, "expected an accumulator, got null");
  return *handle->accumulator;
}

}  // namespace lba
