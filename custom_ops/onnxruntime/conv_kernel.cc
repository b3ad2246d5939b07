#include "onnxruntime/host_product.h"
#include "onnxruntime/kernel.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

class ConvKernel : public Kernel {
 public:
  explicit ConvKernel(const Node& node)
      : statistics_(ReadStatistics(node.attributes())),
        attributes_(ReadConvAttributes(node.attributes())),
        w_(node, 1) {
    const SharedAccumulator accumulator = ReadAccumulator(node.attributes());
    ConvOutput(node.InputShape(0), node.InputShape(1), node.InputShape(2), attributes_);
    const bool is_constant = w_.constant() != nullptr;
    const ConvShape filter = is_constant ? FilterShape(w_.dimensions(), attributes_) : ConvShape{};
    product_ = MakeHostConv(node.place(), accumulator, filter, w_.constant());
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
    const float* added = attributes_.starts_from_bias ? nullptr : bias_values.data();
    const Starts starts{attributes_.starts_from_bias ? bias_values.data() : nullptr, {0, 1, 0}};
    product_->Compute(shape, x_values.data(), w_values.data(), added, y.data(), SessionParallel(call),
                      statistics_.get(), starts);
    y.Finish();
  }

 private:
  std::shared_ptr<StatisticsCollector> statistics_;
  ConvAttributes attributes_;
  Weights w_;
  std::unique_ptr<HostConv> product_;
};

}  // namespace

std::unique_ptr<Kernel> MakeConvKernel(const Node& node) { return std::make_unique<ConvKernel>(node); }

}  // namespace lba::ort
