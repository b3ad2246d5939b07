#include "onnxruntime/host_product.h"

namespace lba::ort {
namespace {

class CpuMatMul : public HostMatMul {
 public:
  CpuMatMul(const SharedAccumulator& accumulator, const StridedMatMul& b, const float* constant_b)
      : accumulator_(accumulator) {
    if (constant_b != nullptr) packed_b_ = PackMatrices(*accumulator, WithOffsets(b), constant_b, SerialParallel());
  }

  void Compute(const StridedMatMul& shape, const float* a, const float* b, float* y, const Parallel& parallel,
               StatisticsCollector* statistics, const Starts& starts) const override {
    MatMul(*accumulator_, WithOffsets(shape), a, b, packed_b_.get(), y, parallel, statistics, starts);
  }

 private:
  SharedAccumulator accumulator_;
  std::shared_ptr<const PackedMatrices> packed_b_;
};

class CpuConv : public HostConv {
 public:
  CpuConv(const SharedAccumulator& accumulator, const ConvShape& filter, const float* constant_w)
      : accumulator_(accumulator) {
    if (constant_w != nullptr) packed_w_ = PackFilter(*accumulator, filter, constant_w);
  }

  void Compute(const ConvShape& shape, const float* x, const float* w, const float* bias, float* y,
               const Parallel& parallel, StatisticsCollector* statistics, const Starts& starts) const override {
    Conv(*accumulator_, shape, x, w, packed_w_.get(), bias, y, parallel, statistics, starts);
  }

 private:
  SharedAccumulator accumulator_;
  std::shared_ptr<const PackedFilter> packed_w_;
};

}  // namespace

std::unique_ptr<HostMatMul> MakeHostMatMul(Place place, const SharedAccumulator& accumulator, const StridedMatMul& b,
                                           const float* constant_b) {
  RequireFloats(*accumulator);
  if (place == Place::kOffloaded) return MakeOffloadedMatMul(accumulator, b, constant_b);
  return std::make_unique<CpuMatMul>(accumulator, b, constant_b);
}

std::unique_ptr<HostConv> MakeHostConv(Place place, const SharedAccumulator& accumulator, const ConvShape& filter,
                                       const float* constant_w) {
  RequireFloats(*accumulator);
  if (place == Place::kOffloaded) return MakeOffloadedConv(accumulator, filter, constant_w);
  return std::make_unique<CpuConv>(accumulator, filter, constant_w);
}

}  // namespace lba::ort
