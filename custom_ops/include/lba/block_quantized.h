// Matrix products with weights of few bits: codes in blocks along the depth, each block with a scale and a zero point.
#ifndef LBA_BLOCK_QUANTIZED_H_
#define LBA_BLOCK_QUANTIZED_H_

#include <cstdint>
#include <memory>

#include "arithmetic/accumulator.h"
#include "lba/parallel.h"
#include "lba/statistics.h"

namespace lba {

// The weights [depth, columns], as MatMulNBits has them. Bytes hold their first code in the lowest bits.
struct BlockQuantized {
  int64_t columns = 0, depth = 0;
  int bits = 4;  // 2, 4 or 8
  int64_t block_size = 32;
  const uint8_t* codes = nullptr;           // [columns][blocks][block_size * bits / 8]
  const float* scales = nullptr;            // [columns][blocks]
  const uint8_t* zero_codes = nullptr;      // [columns][ceil(blocks * bits / 8)]
  const float* zero_points = nullptr;       // [columns][blocks]; neither of the two: all are 2^(bits - 1)
  const int32_t* block_of_depth = nullptr;  // [depth], each below blocks(); null: k / block_size

  int64_t blocks() const { return (depth + block_size - 1) / block_size; }
  int64_t block_bytes() const { return block_size * bits / 8; }
  int64_t zero_bytes() const { return (blocks() * bits + 7) / 8; }
  // A weight is float32(code - zero point) * scale where this is false, and code * scale - zero point * scale where it
  // is true; each operation rounds to nearest even.
  bool subtracts_products() const { return zero_points != nullptr || block_of_depth != nullptr; }
};

// Codes laid out for the kernels, and what is known of the weights for an accumulator. Immutable; shared between
// concurrent calls. Refers to nothing that it was made from.
class QuantizedMatrix;

std::shared_ptr<const QuantizedMatrix> PackQuantized(const Accumulator& accumulator, const BlockQuantized& weights,
                                                     const Parallel& parallel);

// y[rows][columns] = a[rows][depth] times the weights. `statistics` may be null; an observer is shown the weights as
// float32 [depth][columns].
void QuantizedMatMul(const Accumulator& accumulator, int64_t rows, const float* a, const QuantizedMatrix& b, float* y,
                     const Parallel& parallel, StatisticsCollector* statistics);

// out[rows][depth]: each block of `block_size` values of a row as codes from -127 to 127 times a step: with m the
// largest magnitude, step = m / 127, code = nearest_even(a * (127 / m)), out = code * step, each operation in float32.
// Codes are 0 where 127 / m is no finite number; a block that holds a NaN or an infinity becomes NaN.
void QuantizeRows(int64_t rows, int64_t depth, int64_t block_size, const float* a, float* out,
                  const Parallel& parallel);

}  // namespace lba

#endif  // LBA_BLOCK_QUANTIZED_H_
