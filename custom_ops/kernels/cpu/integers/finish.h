// What the kernels of a path do beside tiles: a row's corrections and epilogue, and how codes of lanes are laid out.
#ifndef LBA_KERNELS_CPU_INTEGERS_FINISH_H_
#define LBA_KERNELS_CPU_INTEGERS_FINISH_H_

#include <cstdint>

#include "kernels/cpu/integers/tile.h"
#include "lba/integer_product.h"

namespace lba {

// What is added to the sums of a row: factor * lane_factors + lane_terms + term, modulo 2^32; nulls are zeros. Arrays
// have kTileLanes values.
struct RowCorrection {
  int32_t factor = 0, term = 0;
  const int32_t* lane_factors = nullptr;
  const int32_t* lane_terms = nullptr;
};

struct RowFinish {
  int scale_log2 = 0;  // of the sums
  RowCorrection before;
  int unused_bits = 0;  // of 32, where sums wrap then
  RowCorrection behind;
  IntegerOutput output = IntegerOutput::kInt32;
  const float* lane_scales = nullptr;  // null: the scale of all
  float scale = 1;
  const float* lane_float_bias = nullptr;
  float float_bias = 0;
  bool has_float_bias = false;
  float least = 0, most = 0;  // of values to be quantized
  int32_t zero_point = 0;
};

// Writes kTileLanes results.
using FinishRowKernel = void (*)(const RowFinish& finish, const int32_t* sums, void* out);

// Codes that become the lanes of a tile: that of a place and a lane is at codes[offsets[place] + lane].
struct LaneSource {
  const uint8_t* codes;
  const int64_t* offsets;  // -1: of no code
  int64_t places;
  int count;  // lanes that may be read
  CodeType type;
  uint8_t flip;        // of bytes: exclusive or
  int32_t shift;       // of others: added
  int scale_log2 = 0;  // of others
};

// Writes all elements; codes where there are none, and lanes beyond the count, are any.
using LayOutLanesKernel = void (*)(const LaneSource& source, CodeLayout layout, void* out);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_FINISH_H_
