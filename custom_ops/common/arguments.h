// What all entry points do with their arguments: C structures become C++ ones, mistakes become errors.
#ifndef LBA_COMMON_ARGUMENTS_H_
#define LBA_COMMON_ARGUMENTS_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>

#include "arithmetic/accumulator.h"
#include "lba/c_api.h"
#include "lba/conv.h"

struct LbaAccumulator {
  lba::SharedAccumulator accumulator;
  std::string levels;  // of the accumulator, as text
};

namespace lba {

// Throws std::invalid_argument, the caller's mistake, unless `condition` holds.
inline void Require(bool condition, const std::string& reason) {
  if (!condition) throw std::invalid_argument(reason);
}

// Throws std::invalid_argument for a null; `name` is that of an operand or result.
inline void RequirePointer(const void* pointer, const char* name) {
  Require(pointer != nullptr, std::string("expected the array ") + name + ", got null");
}

// Fills `out`. Throws std::invalid_argument for nulls and for a text that names no accumulator.
void CreateAccumulator(const char* text, LbaAccumulator** out);

// Throws std::invalid_argument for a null.
const Accumulator& AccumulatorOf(const LbaAccumulator* handle);

// Throw std::invalid_argument for sizes of a matrix product that are negative or overflow, and for an operand, whose
// matrices are [vectors][depth], that reaches beyond 64 bits from `start` elements on. `batch` and `start` are whole.
void RequireMatMulSizes(double batch, int64_t rows, int64_t columns, int64_t depth);
void RequireExtent(double start, int64_t vectors, int64_t vector_stride, int64_t depth, int64_t depth_stride);

// Throws std::invalid_argument for arrays that are null and would be read or written.
void RequireArrays(const ConvShape& shape, const void* x, const void* w, const void* y);

// Of LbaConvArgs and its like. Throws std::invalid_argument for geometries that do not fit.
template <class Args>
ConvShape ConvShapeOf(const Args& args) {
  Require(args.rank >= 1 && args.rank <= 3, "expected 1 to 3 spatial dimensions, got " + std::to_string(args.rank));
  ConvShape shape;
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
  const std::string reason = CompleteConvShape(&shape);
  Require(reason.empty(), reason);
  return shape;
}

// Without pointers; for LbaConvArgs and its like.
template <class Args>
Args Described(const ConvShape& shape) {
  Args args{};
  args.rank = 3;
  args.batch = shape.batch;
  args.in_channels = shape.in_channels;
  args.out_channels = shape.out_channels;
  args.groups = shape.groups;
  const auto copy = [](const std::array<int64_t, 3>& from, int64_t* to) { std::copy(from.begin(), from.end(), to); };
  copy(shape.input, args.input);
  copy(shape.kernel, args.kernel);
  copy(shape.strides, args.strides);
  copy(shape.dilations, args.dilations);
  copy(shape.pads_begin, args.pads_begin);
  copy(shape.pads_end, args.pads_end);
  return args;
}

// Runs `body` and returns LBA_OK, or the code of what it threw, with the reason in `last_error`.
template <class Body>
int Guarded(std::string* last_error, const Body& body) {
  const auto fail = [last_error](int code, const char* reason) {
    *last_error = reason;
    return code;
  };
  try {
    body();
    return LBA_OK;
  } catch (const std::invalid_argument& error) {
    return fail(LBA_INVALID_ARGUMENT, error.what());
  } catch (const std::bad_alloc&) {
    return fail(LBA_OUT_OF_MEMORY, "out of memory");
  } catch (const std::length_error&) {  // more elements than a container can have
    return fail(LBA_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return fail(LBA_INTERNAL_ERROR, error.what());
  }
}

}  // namespace lba

#endif  // LBA_COMMON_ARGUMENTS_H_
