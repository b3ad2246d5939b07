// The runtime's calls. One lock serialises them; a launch holds it while its kernel runs.
#include <cuda_runtime.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <set>

#include "control.h"
#include "device_memory.h"
#include "launch.h"

struct CUstream_st {};

namespace lba::cuda_emulation {
namespace {

constexpr int kVersion = 13000;
constexpr unsigned kMaxThreads = 1024;

std::mutex mutex;  // guards the streams, the table of memory, and the block that runs
std::set<cudaStream_t> streams;
std::map<void*, int64_t> queued;
std::atomic<int64_t> waits{0};
thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;

cudaError_t Result(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

cudaError_t ValidIf(bool condition, cudaError_t otherwise = cudaErrorInvalidValue) {
  return Result(condition ? cudaSuccess : otherwise);
}

// LBA_CUDA_EMULATION_DEVICES; 1 without it.
int DeviceCount() {
  const char* const text = std::getenv("LBA_CUDA_EMULATION_DEVICES");
  return text == nullptr ? 1 : std::atoi(text);
}

bool IsDevice(int device) { return device >= 0 && device < DeviceCount(); }

// The default streams have the handles 0, 1 and 2.
bool IsStream(cudaStream_t stream) { return reinterpret_cast<uintptr_t>(stream) <= 2 || streams.count(stream) != 0; }

cudaError_t Make(void** memory, size_t bytes, bool is_device) {
  const std::lock_guard<std::mutex> lock(mutex);
  ++waits;
  if (!IsDevice(current_device)) return Result(cudaErrorNoDevice);
  *memory = bytes == 0 ? nullptr : Allocate(bytes, is_device, current_device);
  return ValidIf(bytes == 0 || *memory != nullptr, cudaErrorMemoryAllocation);
}

cudaError_t Unmake(void* memory, bool is_device) {
  const std::lock_guard<std::mutex> lock(mutex);
  ++waits;
  return ValidIf(memory == nullptr || Free(memory, is_device));
}

// Whether an operand of a copy is what the kind says: memory of the device, or of the host.
bool IsOfKind(const void* memory, size_t bytes, bool is_device) {
  return is_device ? IsDeviceMemory(memory, bytes) : Find(memory) == nullptr || !Find(memory)->is_device;
}

bool FitsKind(const void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  if (kind == cudaMemcpyDefault)
    return IsOfKind(to, bytes, Find(to) != nullptr && Find(to)->is_device) &&
           IsOfKind(from, bytes, Find(from) != nullptr && Find(from)->is_device);
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  return IsOfKind(to, bytes, to_device) && IsOfKind(from, bytes, from_device);
}

}  // namespace

cudaError_t Launch(const void* kernel, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                   const std::function<void()>& thread) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (!IsDevice(current_device)) return Result(cudaErrorNoDevice);
  if (!IsStream(stream)) return Result(cudaErrorInvalidResourceHandle);
  const bool is_linear = grid.y == 1 && grid.z == 1 && block.y == 1 && block.z == 1 && shared_bytes == 0;
  if (!is_linear || grid.x == 0 || grid.x > INT32_MAX || block.x == 0 || block.x > kMaxThreads) {
    return Result(cudaErrorInvalidConfiguration);
  }
  ++queued[stream];
  const DeviceAccess access;
  RunGrid(kernel, grid, block, thread);
  return cudaSuccess;
}

}  // namespace lba::cuda_emulation

using namespace lba::cuda_emulation;

cudaError_t cudaGetDeviceCount(int* count) {
  *count = DeviceCount();
  return ValidIf(*count > 0, cudaErrorNoDevice);
}

cudaError_t cudaGetDevice(int* device) {
  *device = current_device;
  return ValidIf(DeviceCount() > 0, cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device) {
  if (IsDevice(device)) current_device = device;
  return ValidIf(IsDevice(device), cudaErrorInvalidDevice);
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  *properties = {"CUDA emulated on the CPU", kDeviceBytes, 9, 0, 2};
  return ValidIf(IsDevice(device), cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp properties;
  const cudaError_t error = cudaGetDeviceProperties(&properties, device);
  if (attribute == cudaDevAttrMultiProcessorCount) *value = properties.multiProcessorCount;
  if (attribute == cudaDevAttrComputeCapabilityMajor) *value = properties.major;
  if (attribute == cudaDevAttrComputeCapabilityMinor) *value = properties.minor;
  return error;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = DeviceCount() > 0 ? kVersion : 0;  // as without a driver
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = kVersion;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) { return Make(memory, bytes, true); }
cudaError_t cudaMallocHost(void** memory, size_t bytes) { return Make(memory, bytes, false); }
cudaError_t cudaFree(void* memory) { return Unmake(memory, true); }
cudaError_t cudaFreeHost(void* memory) { return Unmake(memory, false); }

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  const std::lock_guard<std::mutex> lock(mutex);
  const Allocation* const found = Find(pointer);
  void* const memory = const_cast<void*>(pointer);
  *attributes = {cudaMemoryTypeUnregistered, -1, nullptr, memory};
  if (found != nullptr && found->is_device) *attributes = {cudaMemoryTypeDevice, found->device, memory, nullptr};
  if (found != nullptr && !found->is_device) *attributes = {cudaMemoryTypeHost, found->device, memory, memory};
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (!IsStream(stream)) return Result(cudaErrorInvalidResourceHandle);
  if (bytes == 0) return cudaSuccess;
  if (to == nullptr || from == nullptr || !FitsKind(to, from, bytes, kind)) return Result(cudaErrorInvalidValue);
  if (Find(to) == nullptr || Find(from) == nullptr) ++waits;  // pageable memory
  ++queued[stream];
  const DeviceAccess access;
  std::memmove(to, from, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* memory, int byte, size_t bytes, cudaStream_t stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (!IsStream(stream)) return Result(cudaErrorInvalidResourceHandle);
  if (bytes == 0) return cudaSuccess;
  if (!IsDeviceMemory(memory, bytes)) return Result(cudaErrorInvalidValue);
  ++queued[stream];
  const DeviceAccess access;
  std::memset(memory, byte, bytes);
  return cudaSuccess;
}

cudaError_t cudaMemset(void* memory, int byte, size_t bytes) {
  ++waits;
  return cudaMemsetAsync(memory, byte, bytes);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  const std::lock_guard<std::mutex> lock(mutex);
  *stream = new CUstream_st;
  streams.insert(*stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (streams.erase(stream) == 0) return Result(cudaErrorInvalidResourceHandle);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  ++waits;
  return ValidIf(IsStream(stream), cudaErrorInvalidResourceHandle);
}

cudaError_t cudaDeviceSynchronize() {
  ++waits;
  return ValidIf(DeviceCount() > 0, cudaErrorNoDevice);
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_error;
  last_error = cudaSuccess;
  return error;
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInsufficientDriver:
      return "cudaErrorInsufficientDriver";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
  }
  return "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "emulated error"; }

int64_t lba_cuda_emulation_waits() { return waits; }

int64_t lba_cuda_emulation_queued(void* stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  return queued[stream];
}

int64_t lba_cuda_emulation_device_bytes() {
  const std::lock_guard<std::mutex> lock(mutex);
  return DeviceBytesInUse();
}
