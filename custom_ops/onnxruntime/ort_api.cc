#include "onnxruntime/ort_api.h"

#include <new>

namespace lba::ort {
namespace {

class OwnedTensorInfo {
 public:
  OwnedTensorInfo(const Api* api, const Value* value) : api_(api) {
    Check(api, GetTensorTypeAndShape(api, value, &info_));
  }
  ~OwnedTensorInfo() { ReleaseTensorTypeAndShapeInfo(api_, info_); }
  OwnedTensorInfo(const OwnedTensorInfo&) = delete;
  OwnedTensorInfo& operator=(const OwnedTensorInfo&) = delete;

  const TensorInfo* get() const { return info_; }

 private:
  const Api* api_;
  TensorInfo* info_ = nullptr;
};

Status* MakeStatus(const Api* api, const std::string& where, const char* what) noexcept {
  try {
    return CreateStatus(api, kFail, (where + ": " + what).c_str());
  } catch (...) {
    return CreateStatus(api, kFail, what);
  }
}

}  // namespace

void Check(const Api* api, Status* status) {
  if (status == nullptr) return;
  const std::string message = GetErrorMessage(api, status);
  ReleaseStatus(api, status);
  throw ApiError(message);
}

bool Succeeded(const Api* api, Status* status) {
  if (status == nullptr) return true;
  ReleaseStatus(api, status);
  return false;
}

Status* Guarded(const Api* api, const std::string& where, const std::function<void()>& body) noexcept {
  try {
    body();
    return nullptr;
  } catch (const std::bad_alloc&) {
    return MakeStatus(api, where, "out of memory");
  } catch (const std::exception& error) {
    return MakeStatus(api, where, error.what());
  } catch (...) {
    return MakeStatus(api, where, "unknown error");
  }
}

int64_t ElementCount(const std::vector<int64_t>& dimensions) {
  int64_t product = 1;
  for (int64_t dimension : dimensions) product *= dimension;
  return product;
}

ElementType ReadElementType(const Api* api, const TensorInfo* info) {
  ElementType type{};
  Check(api, GetTensorElementType(api, info, &type));
  return type;
}

std::vector<int64_t> ReadDimensions(const Api* api, const TensorInfo* info) {
  size_t rank = 0;
  Check(api, GetDimensionsCount(api, info, &rank));
  std::vector<int64_t> dimensions(rank);
  Check(api, GetDimensions(api, info, dimensions.data(), rank));
  return dimensions;
}

Shape ReadShape(const Api* api, const TensorInfo* info) {
  const std::vector<int64_t> values = ReadDimensions(api, info);
  std::vector<const char*> symbols(values.size(), nullptr);
  Check(api, GetSymbolicDimensions(api, info, symbols.data(), symbols.size()));
  Shape shape;
  for (size_t i = 0; i < values.size(); ++i) {
    shape.push_back({values[i], symbols[i] == nullptr ? "" : symbols[i]});
  }
  return shape;
}

Tensor ReadTensor(const Api* api, const Value* value) {
  const OwnedTensorInfo info(api, value);
  Tensor tensor;
  tensor.type = ReadElementType(api, info.get());
  tensor.dimensions = ReadDimensions(api, info.get());
  Check(api, GetTensorMutableData(api, const_cast<Value*>(value), &tensor.data));
  return tensor;
}

Tensor Call::Input(size_t index) const {
  size_t count = 0;
  Check(api_, KernelContext_GetInputCount(api_, context_, &count));
  if (index >= count) return {};
  const Value* value = nullptr;
  Check(api_, KernelContext_GetInput(api_, context_, index, &value));
  return value == nullptr ? Tensor{} : ReadTensor(api_, value);
}

void* Call::Output(size_t index, const std::vector<int64_t>& dimensions) const {
  Value* value = nullptr;
  Check(api_, KernelContext_GetOutput(api_, context_, index, dimensions.data(), dimensions.size(), &value));
  if (value == nullptr && index == 0) throw ApiError("onnxruntime gave no output");
  if (value == nullptr) return nullptr;
  void* data = nullptr;
  Check(api_, GetTensorMutableData(api_, value, &data));
  return data;
}

void* Call::CudaStream() const {
  void* stream = nullptr;
  Check(api_, KernelContext_GetGPUComputeStream(api_, context_, &stream));
  return stream;
}

void SessionParallel::For(int64_t count, const std::function<void(int64_t)>& task) const {
  auto run = [](void* argument, size_t i) {
    (*static_cast<const std::function<void(int64_t)>*>(argument))(static_cast<int64_t>(i));
  };
  const size_t one_task_at_a_time = 0;
  Check(call_.api(), KernelContext_ParallelFor(call_.api(), call_.context(), run, static_cast<size_t>(count),
                                               one_task_at_a_time, const_cast<std::function<void(int64_t)>*>(&task)));
}

}  // namespace lba::ort
