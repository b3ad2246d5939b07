// Nodes of the CUDA provider whose run is an observer's.
#ifndef LBA_ONNXRUNTIME_OBSERVED_KERNEL_H_
#define LBA_ONNXRUNTIME_OBSERVED_KERNEL_H_

#include <memory>

#include "onnxruntime/kernel.h"

namespace lba::ort {

bool IsObserved(const Node& node);

// Runs `kernel`, made for host memory, on copies of the device's tensors: an observer reads, and may write, float32
// values there. Waits for the copies; the products are still computed on the device.
std::unique_ptr<Kernel> OnHostCopies(std::unique_ptr<Kernel> kernel);

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_OBSERVED_KERNEL_H_
