#include "arithmetic/chunked_float/cuda_ruled.h"
#include "arithmetic/chunked_float/cuda_ruled_kind.h"

namespace lba::cuda {

std::unique_ptr<const Kernels> RuledKernels(const AccumulatorSpec& spec) {
  return std::make_unique<const DefinedKernels<RuledKind>>(spec);
}

}  // namespace lba::cuda
