#include "arithmetic/chunked_float/cpu_planner.h"
#include "arithmetic/chunked_float/definition.h"
#include "kernels/cpu/definition_kernels.h"

namespace lba {

const TileKernels& ExactChunkedFloatKernels() { return DefinedKernels<ChunkedFloatDefinition<TileConstants>>(); }

void OpenChunkedFloatTile(const OpenTileArgs& args) { OpenDefinedTile<ChunkedFloatDefinition<TileConstants>>(args); }

}  // namespace lba
