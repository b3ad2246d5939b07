// Device memory in which a kernel's calls compute.
#ifndef LBA_ONNXRUNTIME_CUDA_SCRATCH_H_
#define LBA_ONNXRUNTIME_CUDA_SCRATCH_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "onnxruntime/cuda_library.h"
#include "onnxruntime/ort_api.h"

namespace lba::ort {

class CudaScratch {
 public:
  // scratch_api: null before kScratchApiVersion.
  CudaScratch(const CudaLibrary& cuda, const Api* scratch_api) : cuda_(cuda), scratch_api_(scratch_api) {}

  // Calls `launch`, whose work goes to `stream`, with `bytes` of memory that are the work's own until it is done. Waits
  // for nothing, except where memory of ours has to grow. May be called from several threads at once.
  void Use(const Call& call, void* stream, int64_t bytes, const std::function<void(void*)>& launch) const;

 private:
  struct Kept {
    std::shared_ptr<void> data;
    int64_t bytes = 0;
  };

  void* KeptFor(void* stream, int64_t bytes) const;

  const CudaLibrary& cuda_;
  const Api* scratch_api_;
  mutable std::mutex mutex_;
  mutable std::map<void*, Kept> kept_;  // by stream
};

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_CUDA_SCRATCH_H_
