// onnxruntime's C interface with errors as exceptions and objects that release themselves.
#ifndef LBA_ONNXRUNTIME_ORT_API_H_
#define LBA_ONNXRUNTIME_ORT_API_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "lba/parallel.h"
#include "onnxruntime/ort_abi.h"

namespace lba::ort {

// A call of onnxruntime that failed, with its message.
class ApiError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Throws ApiError, and releases the status, unless it is null.
void Check(const Api* api, Status* status);
// Releases the status; true if it was null.
bool Succeeded(const Api* api, Status* status);
// Runs `body` and turns every exception into a status whose message begins with `where`.
Status* Guarded(const Api* api, const std::string& where, const std::function<void()>& body) noexcept;

int64_t ElementCount(const std::vector<int64_t>& dimensions);

struct Tensor {
  ElementType type = kFloat32;
  std::vector<int64_t> dimensions;
  void* data = nullptr;  // null: an optional input that is absent

  bool is_present() const { return data != nullptr || !dimensions.empty(); }
  int64_t count() const { return ElementCount(dimensions); }
};

// -1 and a symbol, which may be empty, for a dimension that is not known.
struct Dimension {
  int64_t value = -1;
  std::string symbol;

  bool is_known() const { return value >= 0; }
};

// onnxruntime does not tell a scalar from a tensor of unknown rank; no operand here may be a scalar, except where said.
using Shape = std::vector<Dimension>;

Tensor ReadTensor(const Api* api, const Value* value);
ElementType ReadElementType(const Api* api, const TensorInfo* info);
std::vector<int64_t> ReadDimensions(const Api* api, const TensorInfo* info);
Shape ReadShape(const Api* api, const TensorInfo* info);

// One call of a kernel.
class Call {
 public:
  Call(const Api* api, KernelContext* context) : api_(api), context_(context) {}
  virtual ~Call() = default;

  // In the memory of the provider that the kernel is registered for.
  virtual Tensor Input(size_t index) const;
  // Null for an optional output that the node lacks.
  virtual void* Output(size_t index, const std::vector<int64_t>& dimensions) const;
  // The provider's CUDA stream; null where it has none.
  void* CudaStream() const;
  const Api* api() const { return api_; }
  const KernelContext* context() const { return context_; }

 private:
  const Api* api_;
  KernelContext* context_;
};

// The threads of the session.
class SessionParallel : public Parallel {
 public:
  explicit SessionParallel(const Call& call) : call_(call) {}
  bool counts_progress() const override { return true; }
  void For(int64_t count, const std::function<void(int64_t)>& task) const override;

 private:
  const Call& call_;
};

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_ORT_API_H_
