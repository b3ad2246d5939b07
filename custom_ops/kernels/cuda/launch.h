// CUDA calls that throw, and how kernels are launched.
#ifndef LBA_KERNELS_CUDA_LAUNCH_H_
#define LBA_KERNELS_CUDA_LAUNCH_H_

#include <cuda_runtime.h>

#include <cstdint>
#include <new>
#include <stdexcept>
#include <string>

namespace lba::cuda {

// A CUDA call that failed.
class CudaError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws, unless `error` is success: std::bad_alloc where the device has no memory left, else CudaError, with the name
// and the text of the error.
inline void Check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // forgets it
  if (error == cudaErrorMemoryAllocation) throw std::bad_alloc();
  throw CudaError(std::string(what) + ": " + cudaGetErrorName(error) + ": " + cudaGetErrorString(error));
}

// Queues `blocks` blocks of `threads` threads of a kernel with one argument.
template <class Args>
void Launch(void (*kernel)(Args), int64_t blocks, int threads, cudaStream_t stream, const Args& args) {
  if (blocks == 0) return;
  if (blocks > INT32_MAX) throw std::invalid_argument("expected a product of fewer than 2^31 tiles");
  Args argument = args;
  void* arguments[] = {&argument};
  const dim3 grid(static_cast<unsigned>(blocks)), block(static_cast<unsigned>(threads));
  Check(cudaLaunchKernel(kernel, grid, block, arguments, 0, stream), "launching a kernel");
}

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_LAUNCH_H_
