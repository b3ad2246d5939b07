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
    const AddendStrides strides = GemmAddendStrides(c.dimensions);
    const GemmAddend addend{c_values.data(), strides.row, strides.column};
    const std::vector<float> starts = StartsOf(addend, c);
    const bool has_starts = !starts.empty();
    product_->Compute(shape, a_values.data(), b_values.data(), y.data(), SessionParallel(call), statistics_.get(),
                      {has_starts ? starts.data() : nullptr, {0, strides.row, strides.column}});
    if (!attributes_.starts_from_bias) {
      ApplyGemmEpilogue(attributes_.alpha, attributes_.beta, addend, shape.rows, shape.columns, y.data());
    }
    y.Finish();
  }

 private:
  // beta * C where sums start from it, in the layout of C; else nothing.
  std::vector<float> StartsOf(const GemmAddend& addend, const Tensor& c) const {
    if (!attributes_.starts_from_bias || addend.data == nullptr || attributes_.beta == 0) return {};
    std::vector<float> starts(addend.data, addend.data + c.count());
    if (attributes_.beta != 1) ScaleAddend(attributes_.beta, &starts);
    return starts;
  }

  std::shared_ptr<StatisticsCollector> statistics_;
  GemmAttributes attributes_;
  Weights b_;
  std::unique_ptr<HostMatMul> product_;
};

}  // namespace

std::unique_ptr<Kernel> MakeGemmKernel(const Node& node) { return std::make_unique<GemmKernel>(node); }

}  // namespace lba::ort
