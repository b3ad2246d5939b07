// The current device: what choosing a launch needs, and the counters that tell which kernels ran.
#ifndef LBA_KERNELS_CUDA_DEVICE_H_
#define LBA_KERNELS_CUDA_DEVICE_H_

#include <cstdint>

namespace lba::cuda {

int Multiprocessors();

// LBA_CUDA_KERNEL_COUNT counters in the memory of the current device, made at first use.
unsigned long long* KernelCounters();

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_DEVICE_H_
