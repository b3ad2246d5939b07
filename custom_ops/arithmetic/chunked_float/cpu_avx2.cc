#if defined(__x86_64__)

#include "arithmetic/chunked_float/ruled_tables.h"

namespace lba {

const TileKernels& RuledAvx2Kernels(const RuledKind& kind) { return TableOf<4>(kind); }

}  // namespace lba

#endif  // __x86_64__
