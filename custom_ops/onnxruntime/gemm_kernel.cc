#include "onnxruntime/gemm_epilogue.h"
#include "onnxruntime/host_product.h"
#include "onnxruntime/kernel.h"
#include "onnxruntime/matmul_shape.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

class GemmKernel : public Kernel {
 public:
  explicit GemmKernel(const Node& node)
      : statistics_(ReadStatistics(node.attributes())),
        attributes_(ReadGemmAttributes(node.attributes())),
        b_(node, 1) {
    const SharedAccumulator accumulator = ReadAccumulator(node.attributes());
    GemmOutput(node.InputShape(0), node.InputShape(1), node.InputShape(2), attributes_);
    const bool is_constant = b_.constant() != nullptr;
    const StridedMatMul constant = is_constant ? ConstantGemmB(b_.dimensions(), attributes_) : StridedMatMul{};
    product_ = MakeHostMatMul(node.place(), accumulator, constant, b_.constant());
  }

  void Compute(const Call& call) const override {
    const Tensor a = call.Input(0);
    const Tensor b = call.Input(1);
    const Tensor c = call.Input(2);
    RequireRank(a);
    RequireRank(b);
    const Shape dimensions =
        GemmOutput(KnownShape(a.dimensions), KnownShape(b.dimensions), KnownShape(c.dimensions), attributes_);
    const FloatOutput y(call, a.type, KnownDimensions(dimensions));
    if (y.count() == 0) return;
    const StridedMatMul shape = FullGemm(a.dimensions, b.dimensions, attributes_);
    const Floats a_values(a);
    const Floats b_values = b_.Of(b);
    const Floats c_values(c);
    product_->Compute(shape, a_values.data(), b_values.data(), y.data(), SessionParallel(call), statistics_.get());
    const AddendStrides strides = GemmAddendStrides(c.dimensions);
    ApplyGemmEpilogue(attributes_.alpha, attributes_.beta, {c_values.data(), strides.row, strides.column}, shape.rows,
                      shape.columns, y.data());
    y.Finish();
  }

 private:
  std::shared_ptr<StatisticsCollector> statistics_;
  GemmAttributes attributes_;
  Weights b_;
  std::unique_ptr<HostMatMul> product_;
};

}  // namespace

std::unique_ptr<Kernel> MakeGemmKernel(const Node& node) { return std::make_unique<GemmKernel>(node); }

}  // namespace lba::ort
