// One block of threads at a time.
#ifndef LBA_TESTS_CUDA_EMULATION_BLOCK_H_
#define LBA_TESTS_CUDA_EMULATION_BLOCK_H_

#include <cstddef>
#include <cstdint>
#include <functional>

namespace lba::cuda_emulation {

// Runs `body` on each of `threads` threads. Whenever all have stopped at barriers and exchanges they go on in another
// order. Shared memory is the given range; it starts filled with the pattern. Aborts where the block would hang.
void RunBlock(unsigned threads, char* shared, size_t shared_bytes, const std::function<void()>& body);

// Aborts with a message about the running thread.
[[noreturn]] void Misuse(const char* what);

}  // namespace lba::cuda_emulation

#endif  // LBA_TESTS_CUDA_EMULATION_BLOCK_H_
