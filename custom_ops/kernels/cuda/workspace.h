// Scratch memory of a call: facts of operands, which start as zeros, then packed values.
#ifndef LBA_KERNELS_CUDA_WORKSPACE_H_
#define LBA_KERNELS_CUDA_WORKSPACE_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/operand.h"

namespace lba::cuda {

// Hands out parts of a block of memory; without memory it only adds up.
class Workspace {
 public:
  explicit Workspace(void* memory = nullptr) : memory_(static_cast<char*>(memory)) {}

  template <class T>
  T* Take(int64_t count) {
    T* part = reinterpret_cast<T*>(memory_ + used_);  // never read where there is no memory
    used_ += RoundUp(count * static_cast<int64_t>(sizeof(T)), kAlignment);
    return part;
  }
  int64_t used() const { return used_; }
  // Queues the clearing of all that has been handed out, where there is memory.
  void Clear(cudaStream_t stream) const {
    if (memory_ == nullptr) return;
    Check(cudaMemsetAsync(memory_, 0, static_cast<size_t>(used_), stream), "clearing scratch memory");
  }

 private:
  static constexpr int64_t kAlignment = 256;
  char* memory_;
  int64_t used_ = 0;
};

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_WORKSPACE_H_
