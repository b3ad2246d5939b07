// Convolutions of codes by kernels, which read images through planes.
#ifndef LBA_KERNELS_CPU_INTEGERS_PLANE_CONV_H_
#define LBA_KERNELS_CPU_INTEGERS_PLANE_CONV_H_

#include <cstdint>
#include <vector>

#include "kernels/cpu/integers/filter_finish.h"
#include "kernels/cpu/integers/planes.h"
#include "lba/integer_product.h"

namespace lba {

// One call.
struct PlaneConv {
  const IntegerSums& sums;
  const ConvShape& s;
  const Codes& x;
  const PackedIntegerFilter& filter;
  const PlaneShape& planes;
  const FilterFinishes& finishes;
  int64_t item_bytes;  // of a result

  int64_t channel_size() const { return planes.is_image() ? s.input_size() : planes.channel_size(); }
  // What padding holds.
  uint8_t zero() const { return static_cast<uint8_t>(ZeroPointOf(x, 0)); }

  // Of the chain, in the planes of a group; -1 where it has no code.
  std::vector<int64_t> Offsets() const {
    const int64_t positions = s.kernel[0] * s.kernel[1] * s.kernel[2];
    std::vector<int64_t> offsets;
    offsets.reserve(filter.order().size());
    for (const int64_t k : filter.order()) {
      offsets.push_back(k < 0 ? -1 : k / positions * channel_size() + planes.offset(k % positions));
    }
    return offsets;
  }
};

// By tiles: filters against panels of patches.
void RunTiledConv(const PlaneConv& conv, uint8_t* y, const Parallel& parallel, double share);

// By lines: each channel has a filter of its own, whose products are added in any order. Paths without such a kernel
// have no such convolutions.
bool IsOfLines(const PlaneConv& conv);
void RunLinesConv(const PlaneConv& conv, uint8_t* y, const Parallel& parallel, double share);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_PLANE_CONV_H_
