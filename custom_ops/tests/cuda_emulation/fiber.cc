#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Saves the registers that a call preserves, and the place to return to, on the stack; *save receives its address.
// Goes on where `load` was saved.
extern "C" void lba_emulation_switch(void** save, void* load);
asm(R"(
.text
.type lba_emulation_switch, @function
.hidden lba_emulation_switch
.globl lba_emulation_switch
lba_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size lba_emulation_switch, .-lba_emulation_switch
)");

namespace lba::cuda_emulation {
namespace {

constexpr size_t kStackBytes = 128 << 10, kGuardBytes = 4 << 10;

// Launches happen one at a time, and so does everything here.
Fiber* running;
void* host_stack_pointer;
const void* host_stack;
size_t host_stack_bytes;

#if defined(__SANITIZE_ADDRESS__)
void WillSwitch(void** fake_stack, const void* stack, size_t bytes) {
  __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
}
void HasSwitched(void* fake_stack, const void** from, size_t* bytes) {
  __sanitizer_finish_switch_fiber(fake_stack, from, bytes);
}
void ForgetFrames(const void* stack, size_t bytes) { ASAN_UNPOISON_MEMORY_REGION(stack, bytes); }
#else
void WillSwitch(void**, const void*, size_t) {}
void HasSwitched(void*, const void**, size_t*) {}
void ForgetFrames(const void*, size_t) {}
#endif

}  // namespace

Fiber::Fiber() {
  void* const memory = mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, kGuardBytes, PROT_NONE) != 0) {
    std::fprintf(stderr, "CUDA emulation: no memory for the stack of a thread\n");
    std::abort();
  }
  stack_ = static_cast<char*>(memory) + kGuardBytes;
}

Fiber::~Fiber() { munmap(stack_ - kGuardBytes, kStackBytes + kGuardBytes); }

void Fiber::Start(const std::function<void()>& body) {
  ForgetFrames(stack_, kStackBytes);
  body_ = &body;
  // What lba_emulation_switch restores: six registers, where to go, and Main's own return address, which aligns it.
  void** top = reinterpret_cast<void**>(stack_ + kStackBytes);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(&Fiber::Main);
  for (int i = 0; i < 6; ++i) *--top = nullptr;
  stack_pointer_ = top;
}

void Fiber::Resume() {
  void* host_fake_stack = nullptr;
  running = this;
  WillSwitch(&host_fake_stack, stack_, kStackBytes);
  lba_emulation_switch(&host_stack_pointer, stack_pointer_);
  HasSwitched(host_fake_stack, nullptr, nullptr);
}

void Fiber::SwitchBack(void** fake_stack) {
  WillSwitch(fake_stack, host_stack, host_stack_bytes);
  lba_emulation_switch(&stack_pointer_, host_stack_pointer);
}

void Fiber::Suspend() {
  Fiber* const self = running;
  self->SwitchBack(&self->fake_stack_);
  HasSwitched(self->fake_stack_, &host_stack, &host_stack_bytes);
}

void Fiber::Main() {
  HasSwitched(nullptr, &host_stack, &host_stack_bytes);
  (*running->body_)();
  running->body_ = nullptr;
  running->SwitchBack(nullptr);
}

}  // namespace lba::cuda_emulation
