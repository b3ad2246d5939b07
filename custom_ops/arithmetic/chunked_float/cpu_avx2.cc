#if defined(__x86_64__)

#include "arithmetic/chunked_float/ruled_tables.h"

namespace lba {

const TileKernels& RuledAvx2Kernels(Rounding rounding, bool exact_products) {
  return TableOf<4>(rounding, exact_products);
}

}  // namespace lba

#endif  // __x86_64__
