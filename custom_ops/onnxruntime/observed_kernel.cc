#include "onnxruntime/observed_kernel.h"

#include <cstddef>
#include <utility>

#include "onnxruntime/cuda_library.h"

namespace lba::ort {
namespace {

int64_t ByteCount(int64_t elements, ElementType type) {
  return elements * static_cast<int64_t>(type == kFloat16 ? sizeof(uint16_t) : sizeof(float));
}

// A call whose operands are copied to host memory, and whose output is copied back.
class HostCall : public Call {
 public:
  HostCall(const Call& device, const CudaLibrary& cuda)
      : Call(device), device_(device), cuda_(cuda), stream_(device.CudaStream()) {}

  Tensor Input(size_t index) const override {
    Tensor tensor = device_.Input(index);
    if (tensor.data == nullptr) return tensor;
    const int64_t bytes = ByteCount(tensor.count(), tensor.type);
    std::byte* host = Keep(bytes);
    Copy(host, tensor.data, bytes);
    tensor.data = host;
    return tensor;
  }

  // Of the operands' type, which is the first one's.
  void* Output(size_t index, const std::vector<int64_t>& dimensions) const override {
    void* device = device_.Output(index, dimensions);
    if (device == nullptr) return nullptr;
    const int64_t bytes = ByteCount(ElementCount(dimensions), device_.Input(0).type);
    outputs_.push_back({device, Keep(bytes), bytes});
    return outputs_.back().host;
  }

  void CopyBack() const {
    for (const OutputCopy& output : outputs_) Copy(output.device, output.host, output.bytes);
  }

 private:
  struct OutputCopy {
    void* device;
    std::byte* host;
    int64_t bytes;
  };

  std::byte* Keep(int64_t bytes) const {
    memory_.emplace_back(new std::byte[static_cast<size_t>(bytes)]);
    return memory_.back().get();
  }

  void Copy(void* to, const void* from, int64_t bytes) const {
    if (bytes == 0) return;
    cuda_.Check(cuda_.copy(to, from, bytes, stream_));
    cuda_.Check(cuda_.synchronize(stream_));
  }

  const Call& device_;
  const CudaLibrary& cuda_;
  void* stream_;
  mutable std::vector<std::unique_ptr<std::byte[]>> memory_;
  mutable std::vector<OutputCopy> outputs_;
};

class HostCopiesKernel : public Kernel {
 public:
  explicit HostCopiesKernel(std::unique_ptr<Kernel> kernel) : kernel_(std::move(kernel)), cuda_(OpenCudaLibrary()) {}

  void Compute(const Call& call) const override {
    const HostCall host(call, cuda_);
    kernel_->Compute(host);
    host.CopyBack();
  }

 private:
  std::unique_ptr<Kernel> kernel_;
  const CudaLibrary& cuda_;
};

}  // namespace

bool IsObserved(const Node& node) {
  const std::shared_ptr<StatisticsCollector> statistics = ReadStatistics(node.attributes());
  return statistics != nullptr && statistics->is_observed();
}

std::unique_ptr<Kernel> OnHostCopies(std::unique_ptr<Kernel> kernel) {
  return std::make_unique<HostCopiesKernel>(std::move(kernel));
}

}  // namespace lba::ort
