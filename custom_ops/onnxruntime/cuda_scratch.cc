#include "onnxruntime/cuda_scratch.h"

namespace lba::ort {
namespace {

// Memory of the provider's arena for one call. onnxruntime remembers the stream that such memory was taken for, so that
// it can be given back as soon as the work is queued: until the run ends, only work of that stream gets it again.
class ProviderMemory {
 public:
  // The memory of the first operand tells which arena. Afterwards data() is null when onnxruntime gave none.
  ProviderMemory(const Api* scratch_api, const Call& call, int64_t bytes) : api_(scratch_api) {
    const Value* value = nullptr;
    const MemoryInfo* info = nullptr;
    if (!Succeeded(api_, KernelContext_GetInput(api_, call.context(), 0, &value)) || value == nullptr) return;
    if (!Succeeded(api_, GetTensorMemoryInfo(api_, value, &info))) return;
    Allocator* allocator = nullptr;
    if (!Succeeded(api_, KernelContext_GetAllocator(api_, call.context(), info, &allocator))) return;
    allocator_ = {allocator, [this](Allocator* owned) { ReleaseAllocator(api_, owned); }};
    const size_t size = static_cast<size_t>(bytes);
    if (!Succeeded(api_, KernelContext_GetScratchBuffer(api_, call.context(), info, size, &data_))) data_ = nullptr;
  }
  ~ProviderMemory() {
    if (data_ != nullptr) Succeeded(api_, AllocatorFree(api_, allocator_.get(), data_));
  }
  ProviderMemory(const ProviderMemory&) = delete;
  ProviderMemory& operator=(const ProviderMemory&) = delete;

  void* data() const { return data_; }

 private:
  const Api* api_;
  std::unique_ptr<Allocator, std::function<void(Allocator*)>> allocator_;
  void* data_ = nullptr;
};

}  // namespace

void CudaScratch::Use(const Call& call, void* stream, int64_t bytes, const std::function<void(void*)>& launch) const {
  if (bytes == 0) return launch(nullptr);
  // onnxruntime 1.17 gives no scratch memory, and later versions crash when asked for it in a call without a stream.
  if (scratch_api_ != nullptr && stream != nullptr) {
    const ProviderMemory memory(scratch_api_, call, bytes);
    if (memory.data() != nullptr) return launch(memory.data());
  }
  // Memory of ours, kept for each stream. Work of one stream runs in the order in which it was queued, so calls may
  // share it as long as no call queues its work amid another's.
  const std::lock_guard<std::mutex> lock(mutex_);
  launch(KeptFor(stream, bytes));
}

void* CudaScratch::KeptFor(void* stream, int64_t bytes) const {
  Kept& kept = kept_[stream];
  if (kept.bytes < bytes) {
    kept = {};  // waits for the work that still uses it
    void* memory = nullptr;
    cuda_.Check(cuda_.allocate(bytes, &memory));
    kept = {std::shared_ptr<void>(memory, [&cuda = cuda_](void* owned) { cuda.free(owned); }), bytes};
  }
  return kept.data.get();
}

}  // namespace lba::ort
