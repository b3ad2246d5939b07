// What the operators have in common: a node known at session creation, and its kernel.
#ifndef LBA_ONNXRUNTIME_KERNEL_H_
#define LBA_ONNXRUNTIME_KERNEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "onnxruntime/attributes.h"
#include "onnxruntime/ort_api.h"

namespace lba::ort {

// Where the dot products of a node are computed: on the CPU, where its tensors lie; by a CUDA device, with copies of
// tensors that lie in host memory; or on the stream of the CUDA provider, which holds the tensors.
enum class Place { kCpu, kOffloaded, kCudaProvider };

// What onnxruntime tells of a node when it creates its kernel.
class Node {
 public:
  // scratch_api: null before kScratchApiVersion.
  Node(const Api* api, const KernelInfo* info, Place place, const Api* scratch_api)
      : api_(api), info_(info), place_(place), scratch_api_(scratch_api) {}

  KernelAttributes attributes() const { return KernelAttributes(api_, info_); }
  // The shape of an input as far as known; empty when the input is absent or of unknown rank.
  Shape InputShape(size_t index) const;
  // Whether an input is there.
  bool HasInput(size_t index) const { return InputType(index) != nullptr; }
  // The value of a constant input, in the provider's memory; absent otherwise.
  Tensor ConstantInput(size_t index) const;
  Place place() const { return place_; }
  const Api* scratch_api() const { return scratch_api_; }
  // The same node for a kernel that is called with copies in host memory: none of its inputs is constant.
  Node OnHostCopies() const;

 private:
  // Null where the input is absent.
  std::shared_ptr<TypeInfo> InputType(size_t index) const;

  const Api* api_;
  const KernelInfo* info_;
  Place place_;
  const Api* scratch_api_;
  bool has_constants_ = true;
};

// "node 'name' (LbaMatMul)", or the output's name for a node without one.
std::string NodeLabel(const Api* api, const KernelInfo* info, const std::string& op_type);

class Kernel {
 public:
  virtual ~Kernel() = default;
  // Called from several threads at once.
  virtual void Compute(const Call& call) const = 0;
};

// For tensors in host memory.
std::unique_ptr<Kernel> MakeMatMulKernel(const Node& node);
std::unique_ptr<Kernel> MakeGemmKernel(const Node& node);
std::unique_ptr<Kernel> MakeConvKernel(const Node& node);
// Of weights of few bits: of the CPU alone, wherever the other operators are.
std::unique_ptr<Kernel> MakeMatMulNBitsKernel(const Node& node);
// Of integers: of the CPU alone, wherever the other operators are.
std::unique_ptr<Kernel> MakeQLinearMatMulKernel(const Node& node);
std::unique_ptr<Kernel> MakeQGemmKernel(const Node& node);
std::unique_ptr<Kernel> MakeMatMulIntegerKernel(const Node& node);
std::unique_ptr<Kernel> MakeMatMulIntegerToFloatKernel(const Node& node);
std::unique_ptr<Kernel> MakeQLinearConvKernel(const Node& node);
std::unique_ptr<Kernel> MakeConvIntegerKernel(const Node& node);
std::unique_ptr<Kernel> MakeConvIntegerToFloatKernel(const Node& node);
// For tensors of the CUDA provider.
std::unique_ptr<Kernel> MakeCudaMatMulKernel(const Node& node);
std::unique_ptr<Kernel> MakeCudaGemmKernel(const Node& node);
std::unique_ptr<Kernel> MakeCudaConvKernel(const Node& node);

// Throws std::invalid_argument when an operand is a scalar, which the shape rules take for an unknown rank.
void RequireRank(const Tensor& operand);

// Throws std::invalid_argument for an accumulator of integers.
void RequireFloats(const Accumulator& accumulator);

// A tensor's values as float32: its own, or a converted copy for float16.
class Floats {
 public:
  Floats() = default;
  explicit Floats(const Tensor& tensor);
  // Someone else's values.
  explicit Floats(const float* data) : data_(data) {}

  const float* data() const { return data_; }

 private:
  const float* data_ = nullptr;
  std::unique_ptr<float[]> converted_;
};

// An operand that is constant in most models, and then packed once.
class Weights {
 public:
  Weights(const Node& node, size_t index);

  // The constant's dimensions and values; the values are null when the operand is no constant, or has none.
  const std::vector<int64_t>& dimensions() const { return dimensions_; }
  const float* constant() const { return constant_; }
  // The operand's values in a call.
  Floats Of(const Tensor& tensor) const;

 private:
  std::vector<int64_t> dimensions_;
  const float* constant_ = nullptr;
  Floats converted_;  // of float16 only: onnxruntime keeps the values of a float32 constant
};

// The output of a call, written as float32 and rounded to the tensor's type by Finish.
class FloatOutput {
 public:
  FloatOutput(const Call& call, ElementType type, const std::vector<int64_t>& dimensions, size_t index = 0);

  // Null for an optional output that the node lacks.
  float* data() const { return data_; }
  int64_t count() const { return count_; }
  void Finish() const;

 private:
  void* tensor_;
  int64_t count_;
  float* data_;
  std::unique_ptr<float[]> unrounded_;
};

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_KERNEL_H_
