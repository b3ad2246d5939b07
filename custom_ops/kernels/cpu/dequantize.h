// What a panel of codes is, and the kernel that makes its values.
#ifndef LBA_KERNELS_CPU_DEQUANTIZE_H_
#define LBA_KERNELS_CPU_DEQUANTIZE_H_

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/panel.h"

namespace lba {

// How a weight comes from its code c, the scale s and the zero point z of its block, and a power of two f. Each
// operation rounds to nearest even.
enum class WeightForm {
  kDifference,       // (c - z) * s * f
  kScaleTimesPower,  // (c - z) * (s * f)
  kProducts,         // (c * s - z * s) * f
};

// kColumnPanel columns. A row of codes has kCodeBytes * bits bytes: byte i holds, from its lowest bits on, the codes of
// columns i, i + 4 * bits, i + 8 * bits, and so on.
constexpr int kCodeBytes = kColumnPanel / 8;
struct CodePanel {
  const uint8_t* codes;  // [depth][kCodeBytes * bits]
  int bits;
  int64_t depth, block_size;
  const int32_t* block_of_depth;  // null: k / block_size
  const float* scales;            // [blocks][kColumnPanel]
  const float* zero_points;       // the same, or one row for all blocks
  int64_t zero_point_stride;      // from block to block

  int64_t block(int64_t k) const { return block_of_depth == nullptr ? k / block_size : block_of_depth[k]; }
  // Up to where the block is that of k, for certain.
  int64_t block_end(int64_t k) const {
    return block_of_depth == nullptr ? std::min((k / block_size + 1) * block_size, depth) : k + 1;
  }
};

// out[depth][kColumnPanel] = the weights. Call under FpMode::kNearest.
using DequantizeKernel = void (*)(const CodePanel& panel, WeightForm form, float power, float* out);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_DEQUANTIZE_H_
