// The emulation of CUDA by which the other tests run kernels on the CPU: kernels whose mistakes must show.
#include <cuda_runtime.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <string>
#include <vector>

#include "control.h"
#include "kernels/cuda/instructions.h"
#include "kernels/cuda/launch.h"
#include "tests/check.h"

namespace lba::cuda {
namespace {

constexpr int kThreads = 128;

// Device memory that lives as long as it.
class Buffer {
 public:
  explicit Buffer(const std::vector<float>& values) : count_(values.size()) {
    Check(cudaMalloc(&data_, bytes()), "allocating");
    Check(cudaMemcpyAsync(data_, values.data(), bytes(), cudaMemcpyHostToDevice), "copying");
  }
  ~Buffer() { cudaFree(data_); }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  float* data() const { return data_; }
  size_t bytes() const { return count_ * sizeof(float); }
  std::vector<float> Read() const {
    std::vector<float> values(count_);
    Check(cudaMemcpyAsync(values.data(), data_, bytes(), cudaMemcpyDeviceToHost), "copying");
    return values;
  }

 private:
  size_t count_;
  float* data_ = nullptr;
};

std::vector<float> Ascending(int count) {
  std::vector<float> values(count);
  for (int i = 0; i < count; ++i) values[i] = static_cast<float>(i);
  return values;
}

struct Arrays {
  const float* from;
  float* to;
};

// Each block reverses its part.
template <bool kHasBarrier>
__global__ void ReverseKernel(const __grid_constant__ Arrays arrays) {
  __shared__ float values[kThreads];
  const int begin = blockIdx.x * kThreads;
  values[threadIdx.x] = arrays.from[begin + threadIdx.x];
  if (kHasBarrier) __syncthreads();
  arrays.to[begin + threadIdx.x] = values[kThreads - 1 - threadIdx.x];
}

enum class Mistake { kNone, kTooFewWaits, kNoBarrierAfterWait, kNoBarrierBeforeCopy };

// The same through two slots of asynchronous copies, part after part.
template <Mistake kMistake>
__global__ void ReversePartsKernel(const __grid_constant__ Arrays arrays) {
  constexpr int kParts = 4;
  __shared__ float slots[2][kThreads];
  const int i = threadIdx.x;
  CopyAsync4(&slots[0][i], arrays.from + i);
  CommitCopies();
  for (int part = 0; part < kParts; ++part) {
    if (part + 1 < kParts) CopyAsync4(&slots[(part + 1) % 2][i], arrays.from + (part + 1) * kThreads + i);
    CommitCopies();
    WaitForCopies<kMistake == Mistake::kTooFewWaits ? 2 : 1>();
    if (kMistake != Mistake::kNoBarrierAfterWait) __syncthreads();
    arrays.to[part * kThreads + i] = slots[part % 2][kThreads - 1 - i];
    if (kMistake != Mistake::kNoBarrierBeforeCopy) __syncthreads();
  }
}

bool Reverses(void (*kernel)(Arrays)) {
  constexpr int kBlocks = 4;
  const std::vector<float> values = Ascending(kBlocks * kThreads);
  const Buffer from(values), to(std::vector<float>(values.size(), 0.0f));
  const bool takes_parts = kernel != &ReverseKernel<true> && kernel != &ReverseKernel<false>;
  Launch(kernel, takes_parts ? 1 : kBlocks, kThreads, nullptr, Arrays{from.data(), to.data()});
  const std::vector<float> results = to.Read();
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(results[i] == values[i / kThreads * kThreads + kThreads - 1 - i % kThreads])) return false;
  }
  return true;
}

void CheckSynchronisation() {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    lba_cuda_emulation_seed(seed);
    CHECK(Reverses(ReverseKernel<true>), "seed %u", seed);
    CHECK(!Reverses(ReverseKernel<false>), "seed %u", seed);
    CHECK(Reverses(ReversePartsKernel<Mistake::kNone>), "seed %u", seed);
    CHECK(!Reverses(ReversePartsKernel<Mistake::kTooFewWaits>), "seed %u", seed);
    CHECK(!Reverses(ReversePartsKernel<Mistake::kNoBarrierAfterWait>), "seed %u", seed);
    CHECK(!Reverses(ReversePartsKernel<Mistake::kNoBarrierBeforeCopy>), "seed %u", seed);
  }
}

__global__ void CopyKernel(const __grid_constant__ Arrays arrays) {
  alignas(16) __shared__ float fours[kThreads];
  __shared__ float ones[kThreads];
  if (threadIdx.x < kThreads / 4) CopyAsync16(fours + 4 * threadIdx.x, arrays.from + 4 * threadIdx.x);
  CopyAsync4(ones + threadIdx.x, arrays.from + threadIdx.x);
  CommitCopies();
  WaitForCopies<0>();
  __syncthreads();
  arrays.to[threadIdx.x] = fours[threadIdx.x] * 1000.0f + ones[threadIdx.x];
}

void CheckCopies() {
  const Buffer from(Ascending(kThreads)), to(Ascending(kThreads));
  Launch(CopyKernel, 1, kThreads, nullptr, Arrays{from.data(), to.data()});
  const std::vector<float> results = to.Read();
  for (int i = 0; i < kThreads; ++i) CHECK(results[i] == static_cast<float>(1000 * i + i), "%d", i);
}

struct Counters {
  unsigned* sums;
  float* largest;
};

// Sums of a warp twice over, by exchanges that follow each other at once; then atomics of the whole grid.
__global__ void ReduceKernel(const __grid_constant__ Counters counters) {
  uint64_t sum = threadIdx.x;
  double largest = threadIdx.x;
  for (int distance = 16; distance > 0; distance /= 2) {
    sum += __shfl_xor_sync(0xffffffffu, sum, distance);
    largest = std::fmax(largest, __shfl_xor_sync(0xffffffffu, largest, distance));
  }
  atomicAdd(&counters.sums[0], static_cast<unsigned>(sum));
  atomicMax(&counters.sums[1], threadIdx.x);
  atomicOr(&counters.sums[2], 1u << threadIdx.x % 32);
  counters.largest[threadIdx.x] = static_cast<float>(largest);
}

void CheckExchangesAndAtomics() {
  const Buffer sums(std::vector<float>(3, 0.0f)), largest(Ascending(kThreads));
  Launch(ReduceKernel, 3, kThreads, nullptr, Counters{reinterpret_cast<unsigned*>(sums.data()), largest.data()});
  const std::vector<float> bits = sums.Read(), values = largest.Read();
  CHECK(__float_as_uint(bits[0]) == 3 * 32 * kThreads * (kThreads - 1) / 2, "sums");
  CHECK(__float_as_uint(bits[1]) == kThreads - 1 && __float_as_uint(bits[2]) == 0xffffffffu, "largest, or");
  for (int i = 0; i < kThreads; ++i) CHECK(values[i] == static_cast<float>(i / 32 * 32 + 31), "%d", i);
}

// What nobody wrote: shared memory that an earlier block has left, registers of no copy, fresh device memory.
__global__ void UnwrittenKernel(const __grid_constant__ Arrays arrays) {
  __shared__ float values[kThreads];
  arrays.to[blockIdx.x * kThreads + threadIdx.x] = values[threadIdx.x] + arrays.from[threadIdx.x];
  values[threadIdx.x] = 1;
}

void CheckUnwrittenMemory() {
  float* fresh = nullptr;
  Check(cudaMalloc(&fresh, kThreads * sizeof(float)), "allocating");
  const Buffer zeros(std::vector<float>(kThreads, 0.0f)), to(Ascending(2 * kThreads));
  for (const float* from : {static_cast<const float*>(zeros.data()), static_cast<const float*>(fresh)}) {
    Launch(UnwrittenKernel, 2, kThreads, nullptr, Arrays{from, to.data()});
    for (const float value : to.Read()) CHECK(std::isnan(value), "%a", static_cast<double>(value));
  }
  std::vector<uint16_t> halfs(2 * kThreads);
  Check(cudaMemcpyAsync(halfs.data(), fresh, kThreads * sizeof(float), cudaMemcpyDefault), "copying");
  for (const uint16_t half : halfs) CHECK(std::isnan(HalfToFloat(half)), "%04x", half);
  Check(cudaFree(fresh), "freeing");
}

// --- Mistakes that end the process ---

__global__ void HalfAtBarrierKernel(const __grid_constant__ Arrays) {
  if (threadIdx.x < kThreads / 2) __syncthreads();
}

__global__ void HalfAtExchangeKernel(const __grid_constant__ Arrays) {
  if (threadIdx.x % 2 == 0) __shfl_xor_sync(0xffffffffu, threadIdx.x, 2);
}

__global__ void HostOperandKernel(const __grid_constant__ Arrays arrays) {
  __shared__ float values[kThreads];
  CopyAsync4(values + threadIdx.x, arrays.from + threadIdx.x);
}

__global__ void UnalignedKernel(const __grid_constant__ Arrays arrays) {
  alignas(16) __shared__ float values[kThreads];
  if (threadIdx.x == 1) CopyAsync16(values, arrays.to + threadIdx.x);
}

// Overruns, and the host using what is the device's: AddressSanitizer's part.
__global__ void OverrunKernel(const __grid_constant__ Arrays arrays) { arrays.to[threadIdx.x + 1] = 0; }

template <class Body>
bool Ends(const Body& body) {
  const pid_t child = fork();
  if (child == 0) {
    if (std::freopen("/dev/null", "w", stderr) != nullptr) body();
    std::_Exit(0);
  }
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child, "waiting for a process");
  return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

void CheckMistakes() {
  const Buffer buffer(Ascending(kThreads));
  const std::vector<float> host = Ascending(kThreads);
  const auto ends = [&](void (*kernel)(Arrays)) {
    return Ends([&] { Launch(kernel, 1, kThreads, nullptr, Arrays{host.data(), buffer.data()}); });
  };
  CHECK(!ends(ReverseKernel<true>), "no mistake");
  CHECK(ends(HalfAtBarrierKernel), "half of a block at a barrier");
  CHECK(ends(HalfAtExchangeKernel), "half of a warp at an exchange");
  CHECK(ends(HostOperandKernel), "an asynchronous copy of host memory");
  CHECK(ends(UnalignedKernel), "an asynchronous copy from an address that is not aligned");
#if defined(__SANITIZE_ADDRESS__)
  CHECK(ends(OverrunKernel), "an overrun of device memory");
  CHECK(Ends([&] { buffer.data()[0] = 1; }), "the host writing to the device");
#else
  static_cast<void>(OverrunKernel);
#endif
}

// --- The runtime ---

void CheckPointers() {
  float* device = nullptr;
  float* pinned = nullptr;
  float pageable[4] = {};
  Check(cudaMalloc(&device, 16), "allocating");
  Check(cudaMallocHost(&pinned, 16), "allocating");
  const auto type = [](const void* pointer) {
    cudaPointerAttributes attributes;
    Check(cudaPointerGetAttributes(&attributes, pointer), "asking");
    return attributes.type;
  };
  CHECK(type(device + 3) == cudaMemoryTypeDevice && type(pinned + 3) == cudaMemoryTypeHost, "inside");
  CHECK(type(pageable) == cudaMemoryTypeUnregistered, "pageable memory");
  CHECK(cudaMemcpyAsync(device + 1, pageable, 16, cudaMemcpyDefault) == cudaErrorInvalidValue, "past the end");
  CHECK(cudaMemcpyAsync(pageable, pinned, 16, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue, "not the kind");
  CHECK(cudaGetLastError() == cudaErrorInvalidValue && cudaGetLastError() == cudaSuccess, "the last error, once");
  CHECK(cudaFree(pinned) != cudaSuccess && cudaFreeHost(pinned) == cudaSuccess, "freeing");
  CHECK(cudaFree(device) == cudaSuccess && cudaFree(device) != cudaSuccess, "freeing twice");
  cudaGetLastError();
}

void CheckWaits() {
  float* device = nullptr;
  float* pinned = nullptr;
  float pageable = 0;
  cudaStream_t stream = nullptr;
  Check(cudaMalloc(&device, 4), "allocating");
  Check(cudaMallocHost(&pinned, 4), "allocating");
  Check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  const int64_t before = lba_cuda_emulation_waits();
  Check(cudaMemsetAsync(device, 0, 4, stream), "setting");
  Check(cudaMemcpyAsync(pinned, device, 4, cudaMemcpyDefault, stream), "copying");
  Launch(HalfAtBarrierKernel, 1, kThreads / 2, stream, Arrays{});
  CHECK(lba_cuda_emulation_waits() == before, "queued work does not wait");
  Check(cudaMemcpyAsync(&pageable, device, 4, cudaMemcpyDefault, stream), "copying");
  Check(cudaStreamSynchronize(stream), "waiting");
  Check(cudaDeviceSynchronize(), "waiting");
  CHECK(lba_cuda_emulation_waits() == before + 3, "pageable memory, stream, device");
  Check(cudaStreamDestroy(stream), "destroying");
  CHECK(cudaStreamSynchronize(stream) == cudaErrorInvalidResourceHandle, "a destroyed stream");
  cudaFreeHost(pinned);
  cudaFree(device);
  cudaGetLastError();
}

void CheckDevices() {
  int count = 0;
  CHECK(cudaGetDeviceCount(&count) == cudaSuccess && count == 1, "%d", count);
  CHECK(cudaSetDevice(1) == cudaErrorInvalidDevice, "a second device");
  setenv("LBA_CUDA_EMULATION_DEVICES", "0", 1);
  void* memory = nullptr;
  CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice && count == 0, "%d", count);
  CHECK(cudaMalloc(&memory, 16) == cudaErrorNoDevice, "memory of no device");
  unsetenv("LBA_CUDA_EMULATION_DEVICES");
  CHECK(cudaMalloc(&memory, size_t{1} << 40) == cudaErrorMemoryAllocation, "too much memory");
  cudaGetLastError();
}

}  // namespace
}  // namespace lba::cuda

int main() {
  using namespace lba::cuda;
  CheckSynchronisation();
  CheckCopies();
  CheckExchangesAndAtomics();
  CheckUnwrittenMemory();
  CheckMistakes();
  CheckPointers();
  CheckWaits();
  CheckDevices();
  CHECK(lba_cuda_emulation_device_bytes() == 0, "all memory was freed");
}
