#include "arithmetic/chunked_float/definition.h"
#include "arithmetic/truncate/cpu_kernels.h"
#include "arithmetic/truncate/short_cuts.h"
#include "kernels/cpu/definition_kernels.h"

namespace lba {

const TileKernels& TruncatingExactKernels() {
  return DefinedKernels<ChunkedFloatDefinition<Rounding::kTruncate, TileConstants>>();
}

}  // namespace lba
