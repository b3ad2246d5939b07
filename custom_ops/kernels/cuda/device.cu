#include <map>
#include <mutex>

#include "kernels/cuda/device.h"
#include "kernels/cuda/launch.h"
#include "lba/cuda_api.h"

namespace lba::cuda {
namespace {

struct Device {
  int multiprocessors = 0;
  unsigned long long* counters = nullptr;
};

Device MakeDevice(int index) {
  Device device;
  Check(cudaDeviceGetAttribute(&device.multiprocessors, cudaDevAttrMultiProcessorCount, index), "asking for a device");
  constexpr size_t kBytes = LBA_CUDA_KERNEL_COUNT * sizeof(*device.counters);
  Check(cudaMalloc(reinterpret_cast<void**>(&device.counters), kBytes), "allocating counters");
  Check(cudaMemset(device.counters, 0, kBytes), "clearing counters");
  Check(cudaStreamSynchronize(nullptr), "clearing counters");  // other streams count at once
  return device;
}

const Device& CurrentDevice() {
  static auto* mutex = new std::mutex;
  static auto* devices = new std::map<int, Device>;
  int index = 0;
  Check(cudaGetDevice(&index), "asking for the current device");
  const std::lock_guard<std::mutex> lock(*mutex);
  const auto found = devices->find(index);
  if (found != devices->end()) return found->second;
  return devices->emplace(index, MakeDevice(index)).first->second;
}

}  // namespace

int Multiprocessors() { return CurrentDevice().multiprocessors; }

unsigned long long* KernelCounters() { return CurrentDevice().counters; }

}  // namespace lba::cuda
