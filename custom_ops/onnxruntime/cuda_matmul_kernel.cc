#include "onnxruntime/cuda_node.h"
#include "onnxruntime/matmul_shape.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

class CudaMatMulKernel : public Kernel {
 public:
  explicit CudaMatMulKernel(const Node& node) : node_(node) {
    MatMulOutput(node.InputShape(0), node.InputShape(1));
    const Tensor b = ConstantWeights(node, 1);
    if (b.data == nullptr) return;
    LbaCudaMatMulArgs args = CudaArguments(ConstantMatMulB(b.dimensions), b.type);
    args.b = b.data;
    packed_b_ = node_.Pack(args);
  }

  void Compute(const Call& call) const override {
    const Tensor a = call.Input(0);
    const Tensor b = call.Input(1);
    RequireRank(a);
    RequireRank(b);
    const std::vector<int64_t> dimensions =
        KnownDimensions(MatMulOutput(KnownShape(a.dimensions), KnownShape(b.dimensions)));
    void* y = call.Output(0, dimensions);
    if (ElementCount(dimensions) == 0) return;
    LbaCudaMatMulArgs args = CudaArguments(FullMatMul(a.dimensions, b.dimensions, dimensions), a.type);
    args.a = a.data;
    args.b = b.data;
    args.y = y;
    node_.Run(call, args, packed_b_);
  }

 private:
  CudaNode node_;
  CudaWeights packed_b_;
};

}  // namespace

std::unique_ptr<Kernel> MakeCudaMatMulKernel(const Node& node) { return std::make_unique<CudaMatMulKernel>(node); }

}  // namespace lba::ort
