// Where the kernels of the CUDA provider get their memory from, with a table of functions in onnxruntime's stead.
#include <cstdint>
#include <string>
#include <vector>

#include "onnxruntime/cuda_scratch.h"
#include "tests/check.h"

namespace lba::ort {
namespace {

constexpr int64_t kBytes = 1000;

std::vector<std::string> events;
bool has_scratch;
char object;  // what every handle points to
char scratch[kBytes];

Status* SomeError() { return reinterpret_cast<Status*>(&object); }

Status* FakeInput(const KernelContext*, size_t, const Value** out) {
  *out = reinterpret_cast<const Value*>(&object);
  return nullptr;
}

Status* FakeMemoryInfo(const Value*, const MemoryInfo** out) {
  *out = reinterpret_cast<const MemoryInfo*>(&object);
  return nullptr;
}

Status* FakeAllocator(const KernelContext*, const MemoryInfo*, Allocator** out) {
  *out = reinterpret_cast<Allocator*>(&object);
  events.emplace_back("allocator");
  return nullptr;
}

Status* FakeScratch(const KernelContext*, const MemoryInfo*, size_t, void** out) {
  if (!has_scratch) return SomeError();
  *out = scratch;
  events.emplace_back("scratch");
  return nullptr;
}

Status* FakeFree(Allocator*, void* memory) {
  events.emplace_back(memory == scratch ? "freed" : "freed something else");
  return nullptr;
}

void FakeReleaseAllocator(Allocator*) { events.emplace_back("released"); }
void FakeReleaseStatus(Status*) {}

// A table as long as that of the first onnxruntime with scratch memory.
const Api* FakeApi() {
  static std::vector<void*> table(KernelContext_GetScratchBuffer.position + 1, nullptr);
  table[KernelContext_GetInput.position] = reinterpret_cast<void*>(FakeInput);
  table[GetTensorMemoryInfo.position] = reinterpret_cast<void*>(FakeMemoryInfo);
  table[KernelContext_GetAllocator.position] = reinterpret_cast<void*>(FakeAllocator);
  table[KernelContext_GetScratchBuffer.position] = reinterpret_cast<void*>(FakeScratch);
  table[AllocatorFree.position] = reinterpret_cast<void*>(FakeFree);
  table[ReleaseAllocator.position] = reinterpret_cast<void*>(FakeReleaseAllocator);
  table[ReleaseStatus.position] = reinterpret_cast<void*>(FakeReleaseStatus);
  return reinterpret_cast<const Api*>(table.data());
}

int Allocate(int64_t bytes, void** out) {
  events.push_back("allocate " + std::to_string(bytes));
  *out = new char[static_cast<size_t>(bytes)];
  return LBA_OK;
}

int Free(void* memory) {
  events.emplace_back("free");
  delete[] static_cast<char*>(memory);
  return LBA_OK;
}

CudaLibrary FakeLibrary() {
  CudaLibrary cuda;
  cuda.allocate = Allocate;
  cuda.free = Free;
  return cuda;
}

using Events = std::vector<std::string>;

void ExpectEvents(const char* what, const Events& expected) {
  std::string got;
  for (const std::string& event : events) got += event + "; ";
  CHECK(events == expected, "%s, got %s", what, got.c_str());
}

// The memory of one use; `events` then tells what happened.
void* Use(const CudaScratch& memory, void* stream, int64_t bytes) {
  events.clear();
  void* used = nullptr;
  memory.Use(Call(FakeApi(), nullptr), stream, bytes, [&](void* data) {
    events.emplace_back("launch");
    used = data;
  });
  return used;
}

int stream_1, stream_2;

void TestMemoryOfTheProviderIsGivenBackAfterTheLaunch() {
  const CudaLibrary cuda = FakeLibrary();
  has_scratch = true;
  const CudaScratch memory(cuda, FakeApi());
  CHECK(Use(memory, &stream_1, kBytes) == scratch, "expected the provider's memory");
  ExpectEvents("the provider's memory", {"allocator", "scratch", "launch", "freed", "released"});
}

void TestNoBytesNeedNoMemory() {
  const CudaLibrary cuda = FakeLibrary();
  CHECK(Use(CudaScratch(cuda, FakeApi()), &stream_1, 0) == nullptr, "expected no memory");
  ExpectEvents("no bytes", {"launch"});
}

Events Joined(Events first, const Events& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

// before: what asking onnxruntime in vain does.
void TestOwnMemoryIsKeptForEachStream(const Api* scratch_api, const Events& before) {
  const CudaLibrary cuda = FakeLibrary();
  has_scratch = false;
  {
    const CudaScratch memory(cuda, scratch_api);
    const void* first = Use(memory, &stream_1, kBytes);
    ExpectEvents("the first call", Joined(before, {"allocate 1000", "launch"}));
    CHECK(Use(memory, &stream_2, kBytes) != first, "expected memory of its own for another stream");
    CHECK(Use(memory, &stream_1, kBytes / 2) == first, "expected the same memory again");
    ExpectEvents("a call that needs less", Joined(before, {"launch"}));
    Use(memory, &stream_1, 2 * kBytes);
    ExpectEvents("a call that needs more", Joined(before, {"free", "allocate 2000", "launch"}));
    events.clear();
  }
  ExpectEvents("the end", {"free", "free"});
}

void TestACallWithoutAStreamAsksOnnxruntimeForNothing() {
  const CudaLibrary cuda = FakeLibrary();
  has_scratch = true;
  const CudaScratch memory(cuda, FakeApi());
  CHECK(Use(memory, nullptr, kBytes) != scratch, "expected memory of our own");
  ExpectEvents("no stream", {"allocate 1000", "launch"});
}

}  // namespace
}  // namespace lba::ort

int main() {
  using namespace lba::ort;
  TestMemoryOfTheProviderIsGivenBackAfterTheLaunch();
  TestNoBytesNeedNoMemory();
  TestOwnMemoryIsKeptForEachStream(nullptr, {});                           // before 1.18
  TestOwnMemoryIsKeptForEachStream(FakeApi(), {"allocator", "released"});  // onnxruntime has none
  TestACallWithoutAStreamAsksOnnxruntimeForNothing();
  return 0;
}
