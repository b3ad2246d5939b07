// A filter of one channel against the lines of that channel, as depthwise convolutions meet them.
#ifndef LBA_KERNELS_CPU_INTEGERS_LINES_H_
#define LBA_KERNELS_CPU_INTEGERS_LINES_H_

#include <cstdint>

#include "kernels/cpu/integers/finish.h"

namespace lba {

// The codes of lane i are at codes[offsets[tap] + i]: kTileLanes behind the last lane may be read, and results written.
struct LinesArgs {
  const uint8_t* codes;
  const int64_t* offsets;  // of each tap; filled up to whole elements
  int64_t elements, lanes;
  uint8_t flip;         // of codes: exclusive or, which makes them unsigned
  int32_t shift;        // of codes in elements of 16 bits: added
  const void* weights;  // as a row of a tile
  const RowFinish* finish;
  void* out;
  int64_t item_bytes;  // of a result
};

// Adds all products, modulo 2^32, and finishes the sums.
using LinesKernel = void (*)(const LinesArgs& args);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_LINES_H_
