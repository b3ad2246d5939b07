// Asynchronous copies of the running thread. Until a wait covers it, the destination of a copy holds a pattern: neither
// what it held before nor what is copied may be relied on.
#ifndef LBA_TESTS_CUDA_EMULATION_ASYNC_COPY_H_
#define LBA_TESTS_CUDA_EMULATION_ASYNC_COPY_H_

namespace lba::cuda_emulation {

void StartCopy(void* shared, const void* global, int bytes);
void CommitCopies();
void WaitForCopies(int pending);  // until at most so many of the committed groups, the latest, are under way

}  // namespace lba::cuda_emulation

#endif  // LBA_TESTS_CUDA_EMULATION_ASYNC_COPY_H_
