// The operators that a library has.
#ifndef LBA_ONNXRUNTIME_OPERATOR_REGISTRY_H_
#define LBA_ONNXRUNTIME_OPERATOR_REGISTRY_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>

#include "onnxruntime/kernel.h"

namespace lba::ort {

struct OperatorKind {
  std::string name;
  size_t inputs;
  size_t required_inputs;  // the others are left out at the end
  std::unique_ptr<Kernel> (*make_kernel)(const Node&);
  std::unique_ptr<Kernel> (*make_cuda_kernel)(const Node&);  // null where the CUDA provider has none
  void (*infer_shape)(const Api*, const ShapeInferContext*);
};

// One static object for each operator makes it known.
class OperatorRegistration {
 public:
  explicit OperatorRegistration(const OperatorKind& kind);
};

// By name; the same objects until the process ends.
const std::map<std::string, OperatorKind>& OperatorKinds();

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_OPERATOR_REGISTRY_H_
