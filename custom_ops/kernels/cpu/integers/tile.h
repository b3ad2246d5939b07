// A tile of an integer product: 4 vectors of one side, the rows, against 64 of the other, the lanes.
#ifndef LBA_KERNELS_CPU_INTEGERS_TILE_H_
#define LBA_KERNELS_CPU_INTEGERS_TILE_H_

#include <cstdint>

namespace lba {

constexpr int kTileRows = 4;
constexpr int kTileLanes = 64;

// How codes lie in an element: of rows one after the other, of lanes [element][kTileLanes]. Elements have 32 bits, but
// those of kWords 16.
enum class CodeLayout {
  kBytes,    // four codes of 8 bits: unsigned of x, signed of w
  kPairs,    // two of 16 bits
  kSingles,  // one of 16 bits, and a zero
  kWords,    // one of 16 bits
};

constexpr int CodesIn(CodeLayout layout) {
  return layout == CodeLayout::kBytes ? 4 : layout == CodeLayout::kPairs ? 2 : 1;
}
constexpr int BytesIn(CodeLayout layout) { return layout == CodeLayout::kWords ? 2 : 4; }

// What a kernel does with an element.
enum class IntegerStep {
  kSum,            // adds all products, modulo 2^32
  kSaturatePairs,  // adds products of two neighbours, saturated to 16 bits, modulo 2^32
  kClamp,          // adds one product, without its low bits, and keeps the sum between two bounds
  kScaled,         // adds one product and saturates to 32 bits
  kClampWords,     // adds one product and keeps the sum between two bounds, all in 16 bits
  kWrapWords,      // adds one product modulo 2^16
};
constexpr int kIntegerSteps = 6;

// What steps and joins read.
struct TileConstants {
  int32_t least = INT32_MIN, most = INT32_MAX;              // of sums inside a group
  int32_t total_least = INT32_MIN, total_most = INT32_MAX;  // of the sum of groups
  int32_t half = 0, mask = -1;                              // of a product: (product + half) & mask
  int unused_bits = 0;                                      // of the sum of a group, which wraps; of 32
};

struct IntegerTileArgs {
  const void* lanes;
  const void* rows;
  int64_t row_stride;      // in bytes
  int64_t elements;        // of a row, and of a lane
  int64_t group_elements;  // whose sum joins the total; 0: all, and the sum is the total
  int row_count, lane_count;
  const TileConstants* constants;
  int32_t* sums;  // [kTileRows][kTileLanes]
};

using IntegerTileKernel = void (*)(const IntegerTileArgs&);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_TILE_H_
