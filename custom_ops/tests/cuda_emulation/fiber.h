// Threads of control that take turns on one host thread.
#ifndef LBA_TESTS_CUDA_EMULATION_FIBER_H_
#define LBA_TESTS_CUDA_EMULATION_FIBER_H_

#include <functional>

namespace lba::cuda_emulation {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // From its next turn on, runs `body`, which must live until it returns.
  void Start(const std::function<void()>& body);
  void Resume();          // until it suspends itself or its body returns
  static void Suspend();  // the running fiber, until it is resumed
  bool has_ended() const { return body_ == nullptr; }

 private:
  static void Main();
  void SwitchBack(void** fake_stack);

  char* stack_;
  void* stack_pointer_ = nullptr;
  void* fake_stack_ = nullptr;
  const std::function<void()>* body_ = nullptr;
};

}  // namespace lba::cuda_emulation

#endif  // LBA_TESTS_CUDA_EMULATION_FIBER_H_
