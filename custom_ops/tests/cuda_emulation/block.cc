#include "block.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "async_copy.h"
#include "control.h"
#include "device_language.h"
#include "device_memory.h"
#include "fiber.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace lba::cuda_emulation {
namespace {

constexpr unsigned kWarp = 32;

struct Copy {
  void* to;
  const void* from;
  int bytes;
  int64_t group;
};

enum class State { kRuns, kAtBarrier, kAtExchange, kEnded };

struct Thread {
  Fiber fiber;
  State state;
  uint64_t brought[2];  // to the last two exchanges: a fast neighbour may be one ahead
  unsigned exchanges;
  std::vector<Copy> copies;  // under way
  int64_t groups;            // committed
};

struct Block {
  std::vector<std::unique_ptr<Thread>> threads;  // kept: stacks are costly
  unsigned count = 0;
  char* shared = nullptr;
  size_t shared_bytes = 0;
  std::mt19937 random;
};

Block& TheBlock() {
  static Block* block = new Block;
  return *block;
}

Thread& Running() { return *TheBlock().threads[threadIdx.x]; }

void Stop(State state) {
  Running().state = state;
  Fiber::Suspend();
}

unsigned Count(unsigned begin, unsigned end, State state) {
  const auto& threads = TheBlock().threads;
  return static_cast<unsigned>(std::count_if(threads.begin() + begin, threads.begin() + end,
                                             [state](const auto& thread) { return thread->state == state; }));
}

// Lets the threads [begin, end) go on if all of them wait for that.
bool Release(unsigned begin, unsigned end, State state) {
  if (Count(begin, end, state) != end - begin) return false;
  for (unsigned i = begin; i < end; ++i) TheBlock().threads[i]->state = State::kRuns;
  return true;
}

bool ReleaseAny(unsigned count) {
  if (Release(0, count, State::kAtBarrier)) return true;
  bool is_any = false;
  for (unsigned i = 0; i + kWarp <= count; i += kWarp) is_any |= Release(i, i + kWarp, State::kAtExchange);
  return is_any;
}

void Reset(Thread* thread, const std::function<void()>& body) {
  thread->state = State::kRuns;
  thread->exchanges = 0;
  thread->copies.clear();
  thread->groups = 0;
  thread->fiber.Start(body);
}

void RunUntilStopped(unsigned index) {
  Thread& thread = *TheBlock().threads[index];
  if (thread.state != State::kRuns) return;
  threadIdx.x = index;
  thread.fiber.Resume();
  if (thread.fiber.has_ended()) thread.state = State::kEnded;
}

[[noreturn]] void Hang(unsigned count) {
  std::fprintf(stderr, "CUDA emulation: block %u hangs: %u threads at a barrier, %u at an exchange, %u ended\n",
               blockIdx.x, Count(0, count, State::kAtBarrier), Count(0, count, State::kAtExchange),
               Count(0, count, State::kEnded));
  std::abort();
}

void Land(const Copy& copy) { std::memcpy(copy.to, copy.from, copy.bytes); }

}  // namespace

void RunBlock(unsigned count, char* shared, size_t shared_bytes, const std::function<void()>& body) {
  Block& block = TheBlock();
  while (block.threads.size() < count) block.threads.push_back(std::make_unique<Thread>());
  block.count = count;
  block.shared = shared;
  block.shared_bytes = shared_bytes;
  FillWithPattern(shared, shared_bytes);
  for (unsigned i = 0; i < count; ++i) Reset(block.threads[i].get(), body);
  std::vector<unsigned> order(count);
  std::iota(order.begin(), order.end(), 0u);
  while (true) {
    std::shuffle(order.begin(), order.end(), block.random);
    for (const unsigned i : order) RunUntilStopped(i);
    if (Count(0, count, State::kEnded) == count) return;
    if (!ReleaseAny(count)) Hang(count);
  }
}

void Misuse(const char* what) {
  std::fprintf(stderr, "CUDA emulation: block %u, thread %u: %s\n", blockIdx.x, threadIdx.x, what);
  std::abort();
}

uint64_t Exchange(unsigned participants, uint64_t value, int lane_mask) {
  if (participants != 0xffffffffu) Misuse("expected an exchange of the whole warp");
  Thread& self = Running();
  const unsigned partner = threadIdx.x ^ static_cast<unsigned>(lane_mask);
  if (partner / kWarp != threadIdx.x / kWarp) Misuse("expected an exchange inside the warp");
  const unsigned turn = self.exchanges++ % 2;
  self.brought[turn] = value;
  Stop(State::kAtExchange);
  return TheBlock().threads[partner]->brought[turn];
}

void StartCopy(void* shared, const void* global, int bytes) {
  const Block& block = TheBlock();
  const char* const to = static_cast<char*>(shared);
  if (to < block.shared || to + bytes > block.shared + block.shared_bytes) Misuse("expected a copy to shared memory");
  if (!IsDeviceMemory(global, bytes)) Misuse("expected a copy from device memory");
  if ((reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global)) % bytes != 0) {
    Misuse("expected both addresses of a copy to be multiples of its size");
  }
  FillWithPattern(shared, bytes);
  Running().copies.push_back({shared, global, bytes, Running().groups});
}

void CommitCopies() { ++Running().groups; }

void WaitForCopies(int pending) {
  Thread& self = Running();
  auto copy = self.copies.begin();
  for (; copy != self.copies.end() && copy->group < self.groups - pending; ++copy) Land(*copy);
  self.copies.erase(self.copies.begin(), copy);
}

}  // namespace lba::cuda_emulation

void __syncthreads() { lba::cuda_emulation::Stop(lba::cuda_emulation::State::kAtBarrier); }

void lba_cuda_emulation_seed(uint32_t seed) { lba::cuda_emulation::TheBlock().random.seed(seed); }
