// Chunked floats on a CUDA device by ruled_definition.h: every rule, every order of sums.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_CUDA_RULED_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_CUDA_RULED_H_

#include <memory>

#include "arithmetic/chunked_float/spec.h"
#include "kernels/cuda/kernels.h"

namespace lba::cuda {

std::unique_ptr<const Kernels> RuledKernels(const AccumulatorSpec& spec);

}  // namespace lba::cuda

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_CUDA_RULED_H_
