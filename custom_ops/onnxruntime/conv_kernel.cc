#include "lba/conv.h"
#include "onnxruntime/kernel.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

class ConvKernel : public Kernel {
 public:
  explicit ConvKernel(const Node& node)
      : spec_(ReadAccumulatorSpec(node.attributes())),
        statistics_(ReadStatistics(node.attributes())),
        attributes_(ReadConvAttributes(node.attributes())),
        w_(node, 1) {
    ConvOutput(node.InputShape(0), node.InputShape(1), node.InputShape(2), attributes_);
    if (w_.constant() == nullptr) return;
    packed_w_ = PackFilter(spec_, FilterShape(w_.dimensions(), attributes_), w_.constant());
  }

  void Compute(const Call& call) const override {
    const Tensor x = call.Input(0);
    const Tensor w = call.Input(1);
    const Tensor bias = call.Input(2);
    RequireRank(x);
    RequireRank(w);
    if (bias.is_present()) RequireRank(bias);
    const Shape dimensions =
        ConvOutput(KnownShape(x.dimensions), KnownShape(w.dimensions), KnownShape(bias.dimensions), attributes_);
    const ConvShape shape = FullConvShape(x.dimensions, w.dimensions, attributes_);
    const FloatOutput y(call, x.type, KnownDimensions(dimensions));
    if (y.count() == 0) return;
    const Floats x_values(x);
    const Floats w_values = w_.Of(w);
    const Floats bias_values(bias);
    Conv(spec_, shape, x_values.data(), w_values.data(), packed_w_.get(), bias_values.data(), y.data(),
         SessionParallel(call), statistics_.get());
    y.Finish();
  }

 private:
  AccumulatorSpec spec_;
  std::shared_ptr<StatisticsCollector> statistics_;
  ConvAttributes attributes_;
  Weights w_;
  std::shared_ptr<const PackedFilter> packed_w_;
};

}  // namespace

std::unique_ptr<Kernel> MakeConvKernel(const Node& node) { return std::make_unique<ConvKernel>(node); }

}  // namespace lba::ort
