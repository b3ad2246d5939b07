#include "lba/matmul.h"
#include "onnxruntime/gemm_epilogue.h"
#include "onnxruntime/kernel.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

void DescribeB(const std::vector<int64_t>& b, bool transposes, MatMulShape* shape) {
  shape->depth = b[transposes ? 1 : 0];
  shape->columns = b[transposes ? 0 : 1];
  shape->b_depth_stride = transposes ? 1 : b[1];
  shape->b_column_stride = transposes ? b[1] : 1;
  shape->b_offsets = {0};
}

void DescribeA(const std::vector<int64_t>& a, bool transposes, MatMulShape* shape) {
  shape->rows = a[transposes ? 1 : 0];
  shape->a_row_stride = transposes ? 1 : a[1];
  shape->a_depth_stride = transposes ? a[1] : 1;
  shape->a_offsets = {0};
}

GemmAddend DescribeC(const Tensor& c, const Floats& values) {
  GemmAddend addend;
  const size_t rank = c.dimensions.size();
  addend.data = values.data();
  if (rank >= 1 && c.dimensions[rank - 1] != 1) addend.column_stride = 1;
  if (rank == 2 && c.dimensions[0] != 1) addend.row_stride = c.dimensions[1];
  return addend;
}

class GemmKernel : public Kernel {
 public:
  explicit GemmKernel(const Node& node)
      : spec_(ReadAccumulatorSpec(node.attributes())),
        statistics_(ReadStatistics(node.attributes())),
        attributes_(ReadGemmAttributes(node.attributes())),
        b_(node, 1) {
    GemmOutput(node.InputShape(0), node.InputShape(1), node.InputShape(2), attributes_);
    if (b_.constant() == nullptr) return;
    MatMulShape shape;
    DescribeB(b_.dimensions(), attributes_.transposes_b, &shape);
    packed_b_ = PackMatrices(spec_, shape, b_.constant(), SerialParallel());
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
    MatMulShape shape;
    DescribeA(a.dimensions, attributes_.transposes_a, &shape);
    DescribeB(b.dimensions, attributes_.transposes_b, &shape);
    const Floats a_values(a);
    const Floats b_values = b_.Of(b);
    const Floats c_values(c);
    MatMul(spec_, shape, a_values.data(), b_values.data(), packed_b_.get(), y.data(), SessionParallel(call),
           statistics_.get());
    ApplyGemmEpilogue(attributes_.alpha, attributes_.beta, DescribeC(c, c_values), shape.rows, shape.columns, y.data());
    y.Finish();
  }

 private:
  AccumulatorSpec spec_;
  std::shared_ptr<StatisticsCollector> statistics_;
  GemmAttributes attributes_;
  Weights b_;
  std::shared_ptr<const PackedMatrices> packed_b_;
};

}  // namespace

std::unique_ptr<Kernel> MakeGemmKernel(const Node& node) { return std::make_unique<GemmKernel>(node); }

}  // namespace lba::ort
