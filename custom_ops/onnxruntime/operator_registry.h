// The operators that a library has.
#ifndef LBA_ONNXRUNTIME_OPERATOR_REGISTRY_H_
#define LBA_ONNXRUNTIME_OPERATOR_REGISTRY_H_

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "onnxruntime/kernel.h"

namespace lba::ort {

// The types of a node's inputs and outputs.
struct Signature {
  std::vector<ElementType> inputs, outputs;
};

inline std::vector<Signature> OfOneFloatType(size_t inputs) {
  return {{std::vector<ElementType>(inputs, kFloat32), {kFloat32}},
          {std::vector<ElementType>(inputs, kFloat16), {kFloat16}}};
}

struct OperatorKind {
  std::string name;
  size_t inputs;
  size_t required_inputs;  // the others are optional
  std::unique_ptr<Kernel> (*make_kernel)(const Node&);
  std::unique_ptr<Kernel> (*make_cuda_kernel)(const Node&);  // null where the CUDA provider has none
  void (*infer_shape)(const Api*, const ShapeInferContext*);
  std::vector<Signature> signatures = OfOneFloatType(inputs);  // of one number of outputs
  size_t required_outputs = 1;                                 // the others are optional
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
