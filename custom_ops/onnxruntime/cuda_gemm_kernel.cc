#include "onnxruntime/cuda_node.h"
#include "onnxruntime/matmul_shape.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

class CudaGemmKernel : public Kernel {
 public:
  explicit CudaGemmKernel(const Node& node) : node_(node), attributes_(ReadGemmAttributes(node.attributes())) {
    GemmOutput(node.InputShape(0), node.InputShape(1), node.InputShape(2), attributes_);
    const Tensor b = ConstantWeights(node, 1);
    if (b.data == nullptr) return;
    LbaCudaMatMulArgs args = CudaArguments(ConstantGemmB(b.dimensions, attributes_), b.type);
    args.b = b.data;
    packed_b_ = node_.Pack(args);
  }

  void Compute(const Call& call) const override {
    const Tensor a = call.Input(0);
    const Tensor b = call.Input(1);
    const Tensor c = call.Input(2);
    RequireRank(a);
    RequireRank(b);
    const std::vector<int64_t> dimensions = KnownDimensions(
        GemmOutput(KnownShape(a.dimensions), KnownShape(b.dimensions), KnownShape(c.dimensions), attributes_));
    void* y = call.Output(0, dimensions);
    if (ElementCount(dimensions) == 0) return;
    LbaCudaMatMulArgs args = CudaArguments(FullGemm(a.dimensions, b.dimensions, attributes_), a.type);
    args.a = a.data;
    args.b = b.data;
    args.y = y;
    AddC(c, &args);
    node_.Run(call, args, packed_b_);
  }

 private:
  void AddC(const Tensor& c, LbaCudaMatMulArgs* args) const {
    const AddendStrides strides = GemmAddendStrides(c.dimensions);
    args->alpha = attributes_.alpha;
    args->beta = attributes_.beta;
    args->c = c.data;
    args->starts_from_c = attributes_.starts_from_bias ? 1 : 0;
    args->c_row_stride = strides.row;
    args->c_column_stride = strides.column;
  }

  CudaNode node_;
  GemmAttributes attributes_;
  CudaWeights packed_b_;
};

}  // namespace

std::unique_ptr<Kernel> MakeCudaGemmKernel(const Node& node) { return std::make_unique<CudaGemmKernel>(node); }

}  // namespace lba::ort
