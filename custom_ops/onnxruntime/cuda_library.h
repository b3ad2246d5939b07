// The optional library lba_ops_cuda: opened when something first needs it, never closed.
#ifndef LBA_ONNXRUNTIME_CUDA_LIBRARY_H_
#define LBA_ONNXRUNTIME_CUDA_LIBRARY_H_

#include <memory>
#include <string>

#include "lba/cuda_api.h"

namespace lba::ort {

// lba/cuda_api.h declares what each does.
#define LBA_CUDA_FUNCTIONS(FUNCTION) \
  FUNCTION(version)                  \
  FUNCTION(last_error)               \
  FUNCTION(accumulator_create)       \
  FUNCTION(accumulator_release)      \
  FUNCTION(device_count)             \
  FUNCTION(allocate)                 \
  FUNCTION(free)                     \
  FUNCTION(copy)                     \
  FUNCTION(synchronize)              \
  FUNCTION(pack_matmul)              \
  FUNCTION(pack_conv)                \
  FUNCTION(release)                  \
  FUNCTION(matmul_workspace)         \
  FUNCTION(conv_workspace)           \
  FUNCTION(matmul)                   \
  FUNCTION(conv)                     \
  FUNCTION(matmul_host)              \
  FUNCTION(conv_host)                \
  FUNCTION(matmul_statistics)        \
  FUNCTION(conv_statistics)

struct CudaLibrary {
#define LBA_CUDA_MEMBER(name) decltype(&lba_cuda_##name) name = nullptr;
  LBA_CUDA_FUNCTIONS(LBA_CUDA_MEMBER)
#undef LBA_CUDA_MEMBER

  // Throws what the code of an entry point stands for: std::bad_alloc, or std::invalid_argument or
  // std::runtime_error with its reason.
  void Check(int code) const;
};

// The library at the path in the environment variable LBA_ONNX_CUDA_LIBRARY, or else beside this one, or in the package
// lba_onnx_cuda beside this one's. Throws std::runtime_error, which says what was looked for and what to do, when it is
// missing or does not fit.
const CudaLibrary& OpenCudaLibrary();

// An accumulator of that library, released with the last who holds it.
using CudaAccumulator = std::shared_ptr<const LbaAccumulator>;
CudaAccumulator MakeCudaAccumulator(const CudaLibrary& cuda, const std::string& text);

// Weights on the device, released with the last who holds them.
using CudaWeights = std::shared_ptr<const LbaCudaWeights>;
CudaWeights PackOnCuda(const CudaLibrary& cuda, const LbaAccumulator& accumulator, const LbaCudaMatMulArgs& args);
CudaWeights PackOnCuda(const CudaLibrary& cuda, const LbaAccumulator& accumulator, const LbaCudaConvArgs& args);

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_CUDA_LIBRARY_H_
