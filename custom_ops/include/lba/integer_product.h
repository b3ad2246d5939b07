// Matrix products and convolutions of 8-bit codes with a low bit-width accumulator of integers.
#ifndef LBA_INTEGER_PRODUCT_H_
#define LBA_INTEGER_PRODUCT_H_

#include <cstdint>
#include <memory>

#include "arithmetic/accumulator.h"
#include "common/integer_sums.h"
#include "lba/conv.h"
#include "lba/matmul.h"
#include "lba/parallel.h"
#include "lba/statistics.h"

namespace lba {

// The codes of an operand, and what of them stands for zero.
struct Codes {
  const void* data = nullptr;
  CodeType type = CodeType::kUint8;
  const int32_t* zero_points = nullptr;  // null: 0
  bool has_many_zero_points = false;     // of b and w alone: one for each column or output channel; else one for all
};

enum class IntegerOutput { kInt32, kInt64, kFloat32, kUint8, kInt8 };

// What becomes of the sums, tile by tile. Arrays have one value for each column or output channel.
struct IntegerEpilogue {
  IntegerOutput output = IntegerOutput::kInt32;  // of int64 sums kInt32 keeps the low half
  const int32_t* bias = nullptr;                 // null: 0; added modulo 2^32, to int64 sums modulo 2^64
  const float* scales = nullptr;                 // of all but integers
  bool has_many_scales = false;                  // else one scale for all
  const float* float_bias = nullptr;             // null: none; of kFloat32 alone: float(sum) * scale + float_bias
  int32_t zero_point = 0;                        // of codes: clamp(nearest_even(float(sum) * scale) + zero_point)
};

// What an accumulator makes of codes. Throws std::invalid_argument for one of floats.
const IntegerSums& IntegerSumsOf(const Accumulator& accumulator);

// Whether the sums of an accumulator are int64, not int32. Throws likewise.
bool HasInt64Sums(const Accumulator& accumulator);

// Weights laid out for the kernel of this CPU. Immutable; shared between concurrent calls.
class PackedIntegerMatrices;
class PackedIntegerFilter;

// Packs every distinct matrix B of `shape` (only depth, columns, b_offsets and the b strides are read).
std::shared_ptr<const PackedIntegerMatrices> PackIntegerMatrices(const Accumulator& accumulator,
                                                                 const MatMulShape& shape, const Codes& b,
                                                                 const Parallel& parallel);

// y[batch][rows][columns], contiguous, of the epilogue's type. `packed` may be null; then B is packed for this call.
// `statistics` may be null; an observer sees the sums before the epilogue, and may write them. Throws
// std::invalid_argument for an accumulator of floats, and for zero points that are no codes.
void IntegerMatMul(const Accumulator& accumulator, const MatMulShape& shape, const Codes& a, const Codes& b,
                   const PackedIntegerMatrices* packed, const IntegerEpilogue& epilogue, void* y,
                   const Parallel& parallel, StatisticsCollector* statistics);

// w: [out_channels, in_channels / groups, kernel...], contiguous. Reads the channels, groups and kernel of `shape`
// only.
std::shared_ptr<const PackedIntegerFilter> PackIntegerFilter(const Accumulator& accumulator, const ConvShape& shape,
                                                             const Codes& w, const Parallel& parallel);

// x [batch, in_channels, input...], y [batch, out_channels, output...], contiguous; else likewise. Padding holds the
// zero point of x.
void IntegerConv(const Accumulator& accumulator, const ConvShape& shape, const Codes& x, const Codes& w,
                 const PackedIntegerFilter* packed, const IntegerEpilogue& epilogue, void* y, const Parallel& parallel,
                 StatisticsCollector* statistics);

}  // namespace lba

#endif  // LBA_INTEGER_PRODUCT_H_
