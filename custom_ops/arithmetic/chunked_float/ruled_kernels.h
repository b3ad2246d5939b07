// The kernels of ruled_definition.h on vectors of double: for finite operands of whatever has no faster ones. They have
// no gates: the definition's kernels follow chains a second time.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_KERNELS_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_KERNELS_H_

#include "arithmetic/chunked_float/ruled_definition.h"
#include "kernels/cpu/tile.h"

namespace lba {

#if defined(__x86_64__)
const TileKernels& RuledAvx2Kernels(Rounding rounding, bool exact_products);
#endif
const TileKernels& RuledPortableKernels(Rounding rounding, bool exact_products);

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_KERNELS_H_
