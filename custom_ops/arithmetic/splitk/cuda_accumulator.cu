#include "arithmetic/splitk/spec.h"

namespace lba {

// Has no kernels on a device.
SharedAccumulator MakeSplitK(const SplitKSpec& spec) { return std::make_shared<const SplitK>(spec); }

}  // namespace lba
