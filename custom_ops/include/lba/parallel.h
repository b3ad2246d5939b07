// How the kernels spread independent tasks over threads: the caller brings the threads.
#ifndef LBA_PARALLEL_H_
#define LBA_PARALLEL_H_

#include <cstdint>
#include <functional>

namespace lba {

// Runs task(0) ... task(count - 1), each exactly once, in any order, possibly concurrently, and returns
// when all are done. A task never throws into For: RunTasks below sees to that.
class Parallel {
 public:
  virtual ~Parallel() = default;
  virtual void For(int64_t count, const std::function<void(int64_t)>& task) const = 0;
};

class SerialParallel : public Parallel {
 public:
  void For(int64_t count, const std::function<void(int64_t)>& task) const override;
};

// Threads that live for one call. Inside onnxruntime its own pool is used instead.
class ThreadParallel : public Parallel {
 public:
  explicit ThreadParallel(int threads) : threads_(threads) {}
  void For(int64_t count, const std::function<void(int64_t)>& task) const override;

 private:
  int threads_;
};

// Runs the tasks on `parallel`; the first exception that a task throws (out of memory) is rethrown here, on the
// calling thread, after all tasks have ended.
void RunTasks(const Parallel& parallel, int64_t count, const std::function<void(int64_t)>& task);

}  // namespace lba

#endif  // LBA_PARALLEL_H_
