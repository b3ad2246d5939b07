#include "arithmetic/kulisch/spec.h"

namespace lba {

// Has no kernels on a device.
SharedAccumulator MakeKulisch(const ResultFormat& result) {
  return std::make_shared<const Accumulator>(KulischText(result), KulischLevels(result));
}

}  // namespace lba
