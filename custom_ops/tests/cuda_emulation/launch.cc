#include "launch.h"

#include <link.h>
#include <xmmintrin.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "block.h"

struct TlsIndex {
  unsigned long module, offset;
};
extern "C" void* __tls_get_addr(TlsIndex*);

namespace lba::cuda_emulation {
namespace {

constexpr unsigned kDefaultControlWord = 0x1f80;

struct SharedMemory {
  const void* kernel;
  char* begin = nullptr;
  size_t bytes = 0;
};

bool IsIn(const dl_phdr_info& library, const ElfW(Phdr) & segment, const void* address) {
  const ElfW(Addr) offset = reinterpret_cast<ElfW(Addr)>(address) - library.dlpi_addr - segment.p_vaddr;
  return segment.p_type == PT_LOAD && offset < segment.p_memsz;
}

int Look(dl_phdr_info* library, size_t, void* result) {
  SharedMemory* const memory = static_cast<SharedMemory*>(result);
  bool is_its_library = false;
  for (int i = 0; i < library->dlpi_phnum; ++i) is_its_library |= IsIn(*library, library->dlpi_phdr[i], memory->kernel);
  if (!is_its_library) return 0;
  for (int i = 0; i < library->dlpi_phnum; ++i) {
    if (library->dlpi_phdr[i].p_type != PT_TLS) continue;
    TlsIndex index{library->dlpi_tls_modid, 0};
    memory->begin = static_cast<char*>(__tls_get_addr(&index));
    memory->bytes = library->dlpi_phdr[i].p_memsz;
  }
  return 1;
}

// The thread-local variables of the kernel's library, as this thread has them: __shared__ makes such variables. The
// library has others too; a thread that runs nothing but device code never uses those.
SharedMemory SharedMemoryOf(const void* kernel) {
  SharedMemory memory{kernel};
  dl_iterate_phdr(Look, &memory);
  return memory;
}

void RunBlocks(const void* kernel, const std::function<void()>& thread) {
  _mm_setcsr(kDefaultControlWord);
  const SharedMemory shared = SharedMemoryOf(kernel);
  for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) RunBlock(blockDim.x, shared.begin, shared.bytes, thread);
}

}  // namespace

void RunGrid(const void* kernel, dim3 grid, dim3 block, const std::function<void()>& thread) {
  gridDim = grid;
  blockDim = block;
  std::thread(RunBlocks, kernel, std::cref(thread)).join();
}

}  // namespace lba::cuda_emulation
