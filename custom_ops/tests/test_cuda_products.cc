// Matrix products of the CUDA library, run by the emulation, against those of the CPU library: random formats, shapes,
// strides and operands, every tile shape; equal bits.
#include <vector>

#include "control.h"
#include "tests/cuda_matmul_case.h"

namespace lba {
namespace {

PackedWeights Pack(const MatMulCase& m, const LbaCudaMatMulArgs& args) {
  LbaCudaWeights* weights = nullptr;
  if (m.weights != Weights::kNone && args.depth > 0)
    CheckOk(lba_cuda_pack_matmul(OnCuda(m.spec), &args, &weights), "packing", m.seed);
  return {weights, &lba_cuda_release};
}

Tensor OnDevice(MatMulCase& m) {
  const DeviceMemory a(&m.a), b(&m.b), c(&m.c);
  Tensor y(m.args.type, std::vector<float>(m.batch * m.args.rows * m.args.columns, kPoison));
  const DeviceMemory device_y(&y);
  LbaCudaMatMulArgs args = m.args;
  args.a = a.data();
  args.b = m.weights == Weights::kFromHost ? m.b.data() : b.data();
  args.c = m.args.c == nullptr ? nullptr : c.data();
  args.y = device_y.data();
  const PackedWeights weights = Pack(m, args);
  if (weights != nullptr && m.weights == Weights::kFromHost) args.b = nullptr;
  int64_t bytes = -1;
  CheckOk(lba_cuda_matmul_workspace(OnCuda(m.spec), &args, weights.get(), &bytes), "asking for the workspace", m.seed);
  const DeviceMemory workspace(bytes);
  void* const stream = reinterpret_cast<void*>(uintptr_t{2});  // the calling thread's default stream
  const int64_t waits = lba_cuda_emulation_waits(), queued = lba_cuda_emulation_queued(nullptr);
  CheckOk(lba_cuda_matmul(OnCuda(m.spec), &args, weights.get(), workspace.data(), bytes, stream), "computing", m.seed);
  CHECK(lba_cuda_emulation_waits() == waits, "%s: the call waited", m.Text().c_str());
  CHECK(lba_cuda_emulation_queued(nullptr) == queued, "%s: work on another stream", m.Text().c_str());
  device_y.Read(&y);
  return y;
}

Tensor OnHost(MatMulCase& m) {
  Tensor y(m.args.type, std::vector<float>(m.batch * m.args.rows * m.args.columns, kPoison));
  LbaCudaMatMulArgs args = m.args;
  args.a = m.a.data();
  args.b = m.b.data();
  args.c = m.args.c == nullptr ? nullptr : m.c.data();
  args.y = y.data();
  const PackedWeights weights = Pack(m, args);
  CheckOk(lba_cuda_matmul_host(OnCuda(m.spec), &args, weights.get()), "computing", m.seed);
  y.Widen();
  return y;
}

void CheckCase(uint32_t seed) {
  MatMulCase m(seed);
  setenv("LBA_ONNX_CUDA_TILE", m.tile.c_str(), 1);
  lba_cuda_emulation_seed(seed);
  CheckSame(seed % 5 == 0 ? OnHost(m) : OnDevice(m), m.Expected(), m.Text());
}

}  // namespace
}  // namespace lba

int main(int count, char** arguments) {
  const uint32_t first = count > 1 ? static_cast<uint32_t>(std::atoi(arguments[1])) : 0;
  const uint32_t cases = count > 2 ? static_cast<uint32_t>(std::atoi(arguments[2])) : 800;
  int64_t counts[LBA_CUDA_KERNEL_COUNT];
  lba::CheckOk(lba_cuda_kernel_counts(counts), "counting", 0);  // makes the counters, which waits
  for (uint32_t seed = first; seed < first + cases; ++seed) lba::CheckCase(seed);
  lba::CheckAllKernelsRan();
}
