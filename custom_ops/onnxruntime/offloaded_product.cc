#include <stdexcept>

#include "common/arguments.h"
#include "onnxruntime/cuda_arguments.h"
#include "onnxruntime/cuda_library.h"
#include "onnxruntime/host_product.h"

namespace lba::ort {
namespace {

const CudaLibrary& OpenWithDevice() {
  const CudaLibrary& cuda = OpenCudaLibrary();
  int32_t count = 0;
  cuda.Check(cuda.device_count(&count));
  if (count == 0) throw std::runtime_error("expected a CUDA device to compute on, got none");
  return cuda;
}

class OffloadedMatMul : public HostMatMul {
 public:
  OffloadedMatMul(const AccumulatorSpec& spec, const StridedMatMul& b, const float* constant_b)
      : spec_(spec), cuda_spec_(Described(spec)), cuda_(OpenWithDevice()) {
    if (constant_b == nullptr) return;
    LbaCudaMatMulArgs args = CudaArguments(b, kFloat32);
    args.b = constant_b;
    packed_b_ = PackOnCuda(cuda_, cuda_spec_, args);
  }

  void Compute(const StridedMatMul& shape, const float* a, const float* b, float* y, const Parallel& parallel,
               StatisticsCollector* statistics) const override {
    LbaCudaMatMulArgs args = CudaArguments(shape, kFloat32);
    args.a = a;
    args.b = b;
    args.y = y;
    cuda_.Check(cuda_.matmul_host(&cuda_spec_, &args, packed_b_.get()));
    if (statistics != nullptr) RecordMatMul(spec_, WithOffsets(shape), a, b, y, parallel, statistics);
  }

 private:
  AccumulatorSpec spec_;
  LbaSpec cuda_spec_;
  const CudaLibrary& cuda_;
  CudaWeights packed_b_;
};

class OffloadedConv : public HostConv {
 public:
  OffloadedConv(const AccumulatorSpec& spec, const ConvShape& filter, const float* constant_w)
      : spec_(spec), cuda_spec_(Described(spec)), cuda_(OpenWithDevice()) {
    if (constant_w == nullptr) return;
    LbaCudaConvArgs args = CudaArguments(filter, kFloat32);
    args.w = constant_w;
    packed_w_ = PackOnCuda(cuda_, cuda_spec_, args);
  }

  void Compute(const ConvShape& shape, const float* x, const float* w, const float* bias, float* y,
               const Parallel& parallel, StatisticsCollector* statistics) const override {
    LbaCudaConvArgs args = CudaArguments(shape, kFloat32);
    args.x = x;
    args.w = w;
    args.y = y;
    cuda_.Check(cuda_.conv_host(&cuda_spec_, &args, packed_w_.get()));
    FinishConv(spec_, shape, x, w, bias, y, parallel, statistics);
  }

 private:
  AccumulatorSpec spec_;
  LbaSpec cuda_spec_;
  const CudaLibrary& cuda_;
  CudaWeights packed_w_;
};

}  // namespace

std::unique_ptr<HostMatMul> MakeOffloadedMatMul(const AccumulatorSpec& spec, const StridedMatMul& b,
                                                const float* constant_b) {
  return std::make_unique<OffloadedMatMul>(spec, b, constant_b);
}

std::unique_ptr<HostConv> MakeOffloadedConv(const AccumulatorSpec& spec, const ConvShape& filter,
                                            const float* constant_w) {
  return std::make_unique<OffloadedConv>(spec, filter, constant_w);
}

}  // namespace lba::ort
