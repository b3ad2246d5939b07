#include <memory>
#include <stdexcept>
#include <string>

#include "kernels/cuda/kernels.h"
#include "kernels/cuda/weights.h"

namespace lba::cuda {
namespace {

int CurrentDeviceIndex() {
  int index = 0;
  Check(cudaGetDevice(&index), "asking for the current device");
  return index;
}

bool IsOnDevice(const void* data) {
  cudaPointerAttributes attributes;
  Check(cudaPointerGetAttributes(&attributes, data), "asking where an operand lies");
  return attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
}

void CopyToDevice(LbaCudaWeights* weights) {
  Values& values = weights->source.values;
  const int64_t bytes = ExtentOf(weights->source) * values.element_bytes();
  weights->copy = DeviceMemory(bytes);
  Check(cudaMemcpyAsync(weights->copy.data(), values.data, static_cast<size_t>(bytes), cudaMemcpyDefault, nullptr),
        "copying weights");
  values.data = weights->copy.data();
}

}  // namespace

int64_t ExtentOf(const MatrixSource& source) {
  if (source.is_empty()) return 0;
  int64_t last = 0;
  const auto add = [&last](int64_t size, int64_t stride) {
    if (stride < 0) throw std::invalid_argument("expected strides of 0 or more for an operand in host memory");
    last += (size - 1) * stride;
  };
  add(source.vectors, source.vector_stride);
  add(source.depth, source.depth_stride);
  for (int i = 0; i < source.matrices.rank; ++i) add(source.matrices.sizes[i], source.matrices.strides[i]);
  return last + 1;
}

LbaCudaWeights* MakeWeights(const Accumulator& accumulator, const MatrixSource& source) {
  auto weights = std::make_unique<LbaCudaWeights>();
  weights->accumulator = accumulator.text();
  weights->source = source;
  weights->device = CurrentDeviceIndex();
  if (!source.is_empty() && !IsOnDevice(source.values.data)) CopyToDevice(weights.get());
  const Kernels& kernels = *accumulator.OnCuda();
  weights->memory = DeviceMemory(kernels.PackedBytes(source));
  weights->packed = kernels.PackFixed(weights->source, weights->memory.data(), nullptr);
  Check(cudaStreamSynchronize(nullptr), "packing weights");
  return weights.release();
}

void RequireWeightsOf(const LbaCudaWeights& weights, const Accumulator& accumulator, const MatrixSource& source) {
  const MatrixSource& packed = weights.source;
  const bool fits = weights.accumulator == accumulator.text() && packed.vectors == source.vectors &&
                    packed.depth == source.depth && packed.matrices.count() == source.matrices.count() &&
                    packed.values.is_half == source.values.is_half;
  if (!fits) throw std::invalid_argument("expected weights that were packed for this product and accumulator");
  if (weights.device != CurrentDeviceIndex()) {
    throw std::invalid_argument("expected weights that were packed on the current device, got device " +
                                std::to_string(weights.device));
  }
}

}  // namespace lba::cuda
