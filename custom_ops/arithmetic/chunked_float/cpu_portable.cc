#include "arithmetic/chunked_float/ruled_tables.h"

namespace lba {

const TileKernels& RuledPortableKernels(const RuledKind& kind) { return TableOf<2>(kind); }

}  // namespace lba
