// Memory that frees itself.
#ifndef LBA_KERNELS_CUDA_MEMORY_H_
#define LBA_KERNELS_CUDA_MEMORY_H_

#include <cuda_runtime.h>

#include <cstdint>
#include <utility>

#include "kernels/cuda/launch.h"

namespace lba::cuda {

// A block of memory that one of CUDA's functions allocates and another frees.
template <cudaError_t (*kAllocate)(void**, size_t), cudaError_t (*kFree)(void*)>
class OwnedMemory {
 public:
  OwnedMemory() = default;
  explicit OwnedMemory(int64_t bytes) : bytes_(bytes) {
    if (bytes > 0) Check(kAllocate(&data_, static_cast<size_t>(bytes)), "allocating memory");
  }
  ~OwnedMemory() {
    if (data_ != nullptr) kFree(data_);  // freeing null would begin to use the current device
  }
  OwnedMemory(OwnedMemory&& other) noexcept { *this = std::move(other); }
  OwnedMemory& operator=(OwnedMemory&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }

  char* data() const { return static_cast<char*>(data_); }
  int64_t bytes() const { return bytes_; }
  // Makes room for so many bytes; the contents are lost.
  void Reserve(int64_t bytes) {
    if (bytes > bytes_) {
      *this = OwnedMemory();
      *this = OwnedMemory(bytes);
    }
  }

 private:
  void* data_ = nullptr;
  int64_t bytes_ = 0;
};

inline cudaError_t AllocateDevice(void** out, size_t bytes) { return cudaMalloc(out, bytes); }
inline cudaError_t AllocatePinned(void** out, size_t bytes) { return cudaMallocHost(out, bytes); }

using DeviceMemory = OwnedMemory<AllocateDevice, cudaFree>;
using PinnedMemory = OwnedMemory<AllocatePinned, cudaFreeHost>;

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_MEMORY_H_
