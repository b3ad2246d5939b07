// Convolutions of the CUDA library, run by the emulation, against those of the CPU library: random formats, geometries
// and operands, every tile shape and the kernel for groups of few filters; equal bits.
#include <vector>

#include "control.h"
#include "tests/cuda_conv_case.h"

namespace lba {
namespace {

PackedWeights Pack(const ConvCase& c, const LbaCudaConvArgs& args) {
  LbaCudaWeights* weights = nullptr;
  if (c.weights != Weights::kNone && c.weight_count > 0)
    CheckOk(lba_cuda_pack_conv(OnCuda(c.spec), &args, &weights), "packing", c.seed);
  return {weights, &lba_cuda_release};
}

Tensor OnDevice(ConvCase& c) {
  const DeviceMemory x(&c.x), w(&c.w), bias(&c.bias);
  Tensor y(c.args.type, std::vector<float>(c.outputs, kPoison));
  const DeviceMemory device_y(&y);
  LbaCudaConvArgs args = c.args;
  args.x = x.data();
  args.w = c.weights == Weights::kFromHost ? c.w.data() : w.data();
  args.bias = c.has_bias() ? bias.data() : nullptr;
  args.y = device_y.data();
  const PackedWeights weights = Pack(c, args);
  if (weights != nullptr && c.weights == Weights::kFromHost) args.w = nullptr;
  int64_t bytes = -1;
  CheckOk(lba_cuda_conv_workspace(OnCuda(c.spec), &args, weights.get(), &bytes), "asking for the workspace", c.seed);
  const DeviceMemory workspace(bytes);
  void* const stream = reinterpret_cast<void*>(uintptr_t{2});  // the calling thread's default stream
  const int64_t waits = lba_cuda_emulation_waits(), queued = lba_cuda_emulation_queued(nullptr);
  CheckOk(lba_cuda_conv(OnCuda(c.spec), &args, weights.get(), workspace.data(), bytes, stream), "computing", c.seed);
  CHECK(lba_cuda_emulation_waits() == waits, "%s: the call waited", c.Text().c_str());
  CHECK(lba_cuda_emulation_queued(nullptr) == queued, "%s: work on another stream", c.Text().c_str());
  device_y.Read(&y);
  return y;
}

Tensor OnHost(ConvCase& c) {
  Tensor y(c.args.type, std::vector<float>(c.outputs, kPoison));
  LbaCudaConvArgs args = c.args;
  args.x = c.x.data();
  args.w = c.w.data();
  args.bias = c.has_bias() ? c.bias.data() : nullptr;
  args.y = y.data();
  const PackedWeights weights = Pack(c, args);
  CheckOk(lba_cuda_conv_host(OnCuda(c.spec), &args, weights.get()), "computing", c.seed);
  y.Widen();
  return y;
}

void CheckCase(uint32_t seed) {
  ConvCase c(seed);
  setenv("LBA_ONNX_CUDA_TILE", c.tile.c_str(), 1);
  lba_cuda_emulation_seed(seed);
  CheckSame(seed % 5 == 0 ? OnHost(c) : OnDevice(c), c.Expected(), c.Text());
}

}  // namespace
}  // namespace lba

int main(int count, char** arguments) {
  const uint32_t first = count > 1 ? static_cast<uint32_t>(std::atoi(arguments[1])) : 0;
  const uint32_t cases = count > 2 ? static_cast<uint32_t>(std::atoi(arguments[2])) : 2000;
  int64_t counts[LBA_CUDA_KERNEL_COUNT];
  lba::CheckOk(lba_cuda_kernel_counts(counts), "counting", 0);  // makes the counters, which waits
  for (uint32_t seed = first; seed < first + cases; ++seed) lba::CheckCase(seed);
  lba::CheckAllKernelsRan();
}
