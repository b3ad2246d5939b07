#include <stdexcept>

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
  OffloadedMatMul(const SharedAccumulator& accumulator, const StridedMatMul& b, const float* constant_b)
      : accumulator_(accumulator),
        cuda_(OpenWithDevice()),
        cuda_accumulator_(MakeCudaAccumulator(cuda_, accumulator->text())) {
    if (constant_b == nullptr) return;
    LbaCudaMatMulArgs args = CudaArguments(b, kFloat32);
    args.b = constant_b;
    packed_b_ = PackOnCuda(cuda_, *cuda_accumulator_, args);
  }

  void Compute(const StridedMatMul& shape, const float* a, const float* b, float* y, const Parallel& parallel,
               StatisticsCollector* statistics, const Starts& starts) const override {
    LbaCudaMatMulArgs args = CudaArguments(shape, kFloat32);
    args.beta = 1;
    args.c = starts.data;
    args.c_row_stride = starts.strides[1];
    args.c_column_stride = starts.strides[2];
    args.starts_from_c = starts.data == nullptr ? 0 : 1;
    args.a = a;
    args.b = b;
    args.y = y;
    cuda_.Check(cuda_.matmul_host(cuda_accumulator_.get(), &args, packed_b_.get()));
    if (statistics != nullptr) RecordMatMul(*accumulator_, WithOffsets(shape), a, b, y, parallel, statistics, starts);
  }

 private:
  SharedAccumulator accumulator_;
  const CudaLibrary& cuda_;
  CudaAccumulator cuda_accumulator_;
  CudaWeights packed_b_;
};

class OffloadedConv : public HostConv {
 public:
  OffloadedConv(const SharedAccumulator& accumulator, const ConvShape& filter, const float* constant_w)
      : accumulator_(accumulator),
        cuda_(OpenWithDevice()),
        cuda_accumulator_(MakeCudaAccumulator(cuda_, accumulator->text())) {
    if (constant_w == nullptr) return;
    LbaCudaConvArgs args = CudaArguments(filter, kFloat32);
    args.w = constant_w;
    packed_w_ = PackOnCuda(cuda_, *cuda_accumulator_, args);
  }

  void Compute(const ConvShape& shape, const float* x, const float* w, const float* bias, float* y,
               const Parallel& parallel, StatisticsCollector* statistics, const Starts& starts) const override {
    LbaCudaConvArgs args = CudaArguments(shape, kFloat32);
    args.bias = starts.data;
    args.starts_from_bias = starts.data == nullptr ? 0 : 1;
    args.x = x;
    args.w = w;
    args.y = y;
    cuda_.Check(cuda_.conv_host(cuda_accumulator_.get(), &args, packed_w_.get()));
    FinishConv(*accumulator_, shape, x, w, bias, y, parallel, statistics, starts);
  }

 private:
  SharedAccumulator accumulator_;
  const CudaLibrary& cuda_;
  CudaAccumulator cuda_accumulator_;
  CudaWeights packed_w_;
};

}  // namespace

std::unique_ptr<HostMatMul> MakeOffloadedMatMul(const SharedAccumulator& accumulator, const StridedMatMul& b,
                                                const float* constant_b) {
  return std::make_unique<OffloadedMatMul>(accumulator, b, constant_b);
}

std::unique_ptr<HostConv> MakeOffloadedConv(const SharedAccumulator& accumulator, const ConvShape& filter,
                                            const float* constant_w) {
  return std::make_unique<OffloadedConv>(accumulator, filter, constant_w);
}

}  // namespace lba::ort
