#include "device_memory.h"

#include <cstdlib>
#include <cstring>
#include <cwchar>
#include <map>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace lba::cuda_emulation {
namespace {

constexpr size_t kAlignment = 256;
constexpr uint32_t kPattern = 0xfff7fff7;

#if defined(__SANITIZE_ADDRESS__)
void Forbid(const void* memory, size_t bytes) { ASAN_POISON_MEMORY_REGION(memory, bytes); }
void Permit(const void* memory, size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(memory, bytes); }
#else
void Forbid(const void*, size_t) {}
void Permit(const void*, size_t) {}
#endif

std::map<const char*, Allocation>& Allocations() {
  static auto* allocations = new std::map<const char*, Allocation>;
  return *allocations;
}

int64_t BytesInUse(int device) {
  int64_t bytes = 0;
  for (const auto& [memory, allocation] : Allocations()) {
    const bool counts = allocation.is_device && (device < 0 || allocation.device == device);
    if (counts) bytes += static_cast<int64_t>(allocation.bytes);
  }
  return bytes;
}

}  // namespace

void FillWithPattern(void* memory, size_t bytes) {
  std::wmemset(static_cast<wchar_t*>(memory), static_cast<wchar_t>(kPattern), bytes / sizeof(wchar_t));
  std::memcpy(static_cast<char*>(memory) + bytes / 4 * 4, &kPattern, bytes % 4);
}

void* Allocate(size_t bytes, bool is_device, int device) {
  void* memory = nullptr;
  if (is_device && static_cast<uint64_t>(BytesInUse(device)) + bytes > kDeviceBytes) return nullptr;
  if (posix_memalign(&memory, kAlignment, bytes) != 0) return nullptr;
  FillWithPattern(memory, bytes);
  if (is_device) Forbid(memory, bytes);
  Allocations()[static_cast<char*>(memory)] = {bytes, device, is_device};
  return memory;
}

bool Free(void* memory, bool is_device) {
  const auto found = Allocations().find(static_cast<char*>(memory));
  if (found == Allocations().end() || found->second.is_device != is_device) return false;
  Permit(memory, found->second.bytes);
  Allocations().erase(found);
  std::free(memory);
  return true;
}

const Allocation* Find(const void* pointer) {
  const char* const at = static_cast<const char*>(pointer);
  auto found = Allocations().upper_bound(at);
  if (found == Allocations().begin()) return nullptr;
  --found;
  return at < found->first + found->second.bytes ? &found->second : nullptr;
}

bool IsDeviceMemory(const void* pointer, size_t bytes) {
  const Allocation* const first = Find(pointer);
  const Allocation* const last = Find(static_cast<const char*>(pointer) + (bytes == 0 ? 0 : bytes - 1));
  return first != nullptr && first == last && first->is_device;
}

int64_t DeviceBytesInUse() { return BytesInUse(-1); }

DeviceAccess::DeviceAccess() {
  for (const auto& [memory, allocation] : Allocations()) {
    if (allocation.is_device) Permit(memory, allocation.bytes);
  }
}

DeviceAccess::~DeviceAccess() {
  for (const auto& [memory, allocation] : Allocations()) {
    if (allocation.is_device) Forbid(memory, allocation.bytes);
  }
}

}  // namespace lba::cuda_emulation
