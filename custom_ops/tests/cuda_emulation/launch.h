// The blocks of a launch, one after the other.
#ifndef LBA_TESTS_CUDA_EMULATION_LAUNCH_H_
#define LBA_TESTS_CUDA_EMULATION_LAUNCH_H_

#include <functional>

#include "device_language.h"

namespace lba::cuda_emulation {

// Runs `thread` once for each thread of the grid. `kernel` is the address of the kernel's code.
void RunGrid(const void* kernel, dim3 grid, dim3 block, const std::function<void()>& thread);

}  // namespace lba::cuda_emulation

#endif  // LBA_TESTS_CUDA_EMULATION_LAUNCH_H_
