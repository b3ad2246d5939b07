// Whether the CPU operators of a session compute their dot products on a CUDA device.
#ifndef LBA_ONNXRUNTIME_OFFLOAD_H_
#define LBA_ONNXRUNTIME_OFFLOAD_H_

#include "onnxruntime/kernel.h"

namespace lba::ort {

// kOffloaded when the session's config entry "lba_onnx.offload", or without one the environment variable
// LBA_ONNX_OFFLOAD, is "cuda"; kCpu when neither is set. Throws std::invalid_argument for any other value.
Place PlaceOfCpuOperators(const Api* api, const SessionOptions* options);

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_OFFLOAD_H_
