// Memory that the emulation gave out.
#ifndef LBA_TESTS_CUDA_EMULATION_DEVICE_MEMORY_H_
#define LBA_TESTS_CUDA_EMULATION_DEVICE_MEMORY_H_

#include <cstddef>
#include <cstdint>

namespace lba::cuda_emulation {

struct Allocation {
  size_t bytes;
  int device;      // of device memory
  bool is_device;  // else host memory that is pinned
};

constexpr size_t kDeviceBytes = size_t{1} << 30;  // of each device

// A NaN in float16, float32 and double, a number far from any index.
void FillWithPattern(void* memory, size_t bytes);

// Filled with the pattern, aligned to 256 bytes, exactly so long. Null where the device is full.
void* Allocate(size_t bytes, bool is_device, int device);
bool Free(void* memory, bool is_device);      // false where it is not of that kind or not the beginning
const Allocation* Find(const void* pointer);  // the allocation that the pointer is in, or null
bool IsDeviceMemory(const void* pointer, size_t bytes);
int64_t DeviceBytesInUse();

// Device memory is the device's: while no scope is alive, AddressSanitizer finds the host using it.
class DeviceAccess {
 public:
  DeviceAccess();
  ~DeviceAccess();
};

}  // namespace lba::cuda_emulation

#endif  // LBA_TESTS_CUDA_EMULATION_DEVICE_MEMORY_H_
