#include "arithmetic/chunked_float/ruled_tables.h"

namespace lba {

const TileKernels& RuledPortableKernels(Rounding rounding, bool exact_products) {
  return TableOf<2>(rounding, exact_products);
}

}  // namespace lba
