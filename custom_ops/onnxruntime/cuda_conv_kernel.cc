#include "onnxruntime/cuda_node.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

class CudaConvKernel : public Kernel {
 public:
  explicit CudaConvKernel(const Node& node) : node_(node), attributes_(ReadConvAttributes(node.attributes())) {
    ConvOutput(node.InputShape(0), node.InputShape(1), node.InputShape(2), attributes_);
    const Tensor w = ConstantWeights(node, 1);
    if (w.data == nullptr) return;
    LbaCudaConvArgs args = CudaArguments(FilterShape(w.dimensions, attributes_), w.type);
    args.w = w.data;
    packed_w_ = node_.Pack(args);
  }

  void Compute(const Call& call) const override {
    const Tensor x = call.Input(0);
    const Tensor w = call.Input(1);
    const Tensor bias = call.Input(2);
    RequireRank(x);
    RequireRank(w);
    if (bias.is_present()) RequireRank(bias);
    const std::vector<int64_t> dimensions = KnownDimensions(
        ConvOutput(KnownShape(x.dimensions), KnownShape(w.dimensions), KnownShape(bias.dimensions), attributes_));
    LbaCudaConvArgs args = CudaArguments(FullConvShape(x.dimensions, w.dimensions, attributes_), x.type);
    args.x = x.data;
    args.w = w.data;
    args.bias = bias.data;
    args.starts_from_bias = attributes_.starts_from_bias ? 1 : 0;
    args.y = call.Output(0, dimensions);
    if (ElementCount(dimensions) > 0) node_.Run(call, args, packed_w_);
  }

 private:
  CudaNode node_;
  ConvAttributes attributes_;
  CudaWeights packed_w_;
};

}  // namespace

std::unique_ptr<Kernel> MakeCudaConvKernel(const Node& node) { return std::make_unique<CudaConvKernel>(node); }

}  // namespace lba::ort
