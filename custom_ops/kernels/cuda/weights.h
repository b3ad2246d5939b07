// The constant operand of products, packed once.
#ifndef LBA_KERNELS_CUDA_WEIGHTS_H_
#define LBA_KERNELS_CUDA_WEIGHTS_H_

#include <cstdint>
#include <string>

#include "arithmetic/accumulator.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/operand.h"

struct LbaCudaWeights {
  std::string accumulator;         // its text
  lba::cuda::MatrixSource source;  // the values as they were, in `copy` when they came from host memory
  lba::cuda::PackedOperand packed;
  lba::cuda::DeviceMemory copy, memory;
  int device = 0;

  bool owns_values() const { return copy.data() != nullptr; }
};

namespace lba::cuda {

// Elements from the first to the last that the source reads. Throws std::invalid_argument for negative strides.
int64_t ExtentOf(const MatrixSource& source);

// Packs values in host or device memory, and waits. Throws CudaError, or std::invalid_argument.
LbaCudaWeights* MakeWeights(const Accumulator& accumulator, const MatrixSource& source);

// Throws std::invalid_argument unless `weights` were packed from such a source, for this accumulator and device.
void RequireWeightsOf(const LbaCudaWeights& weights, const Accumulator& accumulator, const MatrixSource& source);

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_WEIGHTS_H_
