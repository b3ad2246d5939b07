#include "onnxruntime/host_product.h"

namespace lba::ort {
namespace {

class CpuMatMul : public HostMatMul {
 public:
  CpuMatMul(const AccumulatorSpec& spec, const StridedMatMul& b, const float* constant_b) : spec_(spec) {
    if (constant_b != nullptr) packed_b_ = PackMatrices(spec, WithOffsets(b), constant_b, SerialParallel());
  }

  void Compute(const StridedMatMul& shape, const float* a, const float* b, float* y, const Parallel& parallel,
               StatisticsCollector* statistics) const override {
    MatMul(spec_, WithOffsets(shape), a, b, packed_b_.get(), y, parallel, statistics);
  }

 private:
  AccumulatorSpec spec_;
  std::shared_ptr<const PackedMatrices> packed_b_;
};

class CpuConv : public HostConv {
 public:
  CpuConv(const AccumulatorSpec& spec, const ConvShape& filter, const float* constant_w) : spec_(spec) {
    if (constant_w != nullptr) packed_w_ = PackFilter(spec, filter, constant_w);
  }

  void Compute(const ConvShape& shape, const float* x, const float* w, const float* bias, float* y,
               const Parallel& parallel, StatisticsCollector* statistics) const override {
    Conv(spec_, shape, x, w, packed_w_.get(), bias, y, parallel, statistics);
  }

 private:
  AccumulatorSpec spec_;
  std::shared_ptr<const PackedFilter> packed_w_;
};

}  // namespace

std::unique_ptr<HostMatMul> MakeHostMatMul(Place place, const AccumulatorSpec& spec, const StridedMatMul& b,
                                           const float* constant_b) {
  if (place == Place::kOffloaded) return MakeOffloadedMatMul(spec, b, constant_b);
  return std::make_unique<CpuMatMul>(spec, b, constant_b);
}

std::unique_ptr<HostConv> MakeHostConv(Place place, const AccumulatorSpec& spec, const ConvShape& filter,
                                       const float* constant_w) {
  if (place == Place::kOffloaded) return MakeOffloadedConv(spec, filter, constant_w);
  return std::make_unique<CpuConv>(spec, filter, constant_w);
}

}  // namespace lba::ort
