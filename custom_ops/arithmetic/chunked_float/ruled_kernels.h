// The kernels of ruled_definition.h on vectors of double: for finite operands of whatever has no faster ones. They have
// no gates: the definition's kernels follow chains a second time.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_KERNELS_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_KERNELS_H_

#include "arithmetic/chunked_float/ruled_definition.h"
#include "kernels/cpu/tile.h"

namespace lba {

// What a table is made for.
struct RuledKind {
  Rounding rounding = Rounding::kNearest;
  bool exact_products = false, is_tree = false;
};

#if defined(__x86_64__)
const TileKernels& RuledAvx2Kernels(const RuledKind& kind);
#endif
const TileKernels& RuledPortableKernels(const RuledKind& kind);

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_KERNELS_H_
