// Convolutions on the device.
#ifndef LBA_KERNELS_CUDA_CONV_H_
#define LBA_KERNELS_CUDA_CONV_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "arithmetic/accumulator.h"
#include "kernels/cuda/operand.h"
#include "kernels/cuda/output.h"
#include "lba/conv.h"

namespace lba::cuda {

struct ConvProblem {
  const Accumulator* accumulator;  // with kernels for CUDA
  ConvShape shape;
  Values x;              // [batch][in_channels][input...]
  MatrixSource weights;  // as FiltersOf gives them
  Output output;         // y [batch][out_channels][output...]; the addend is the bias, or none
};

// The filters of all groups, one matrix each: w [out_channels][in_channels / groups][kernel...].
MatrixSource FiltersOf(const ConvShape& shape, Values w);

// Bytes of scratch memory of RunConv; `has_packed` when the weights come packed.
int64_t ConvWorkspaceBytes(const ConvProblem& problem, bool has_packed);

// Queues the convolution. `packed` are the weights, or null. Throws CudaError, or std::invalid_argument. A Kind is that
// of tile_plan.h, for the accumulator and the depth of the problem; defined in conv_kernel.h.
template <class Kind>
void RunConv(const Kind& kind, const ConvProblem& problem, const PackedOperand* packed, void* workspace,
             cudaStream_t stream);

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_CONV_H_
