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
  // Whether the tasks are those of a session's node, which count in the progress of its run (lba/watched_run.h).
  virtual bool counts_progress() const { return false; }
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
// calling thread, after all tasks have ended. All work for the calling thread's run (lba/watched_run.h): once it is
// stopped, no further task begins, and RunStopped is thrown. `share`: which part of a node's work they are together, 0
// where that is little.
void RunTasks(const Parallel& parallel, int64_t count, const std::function<void(int64_t)>& task, double share = 0);

}  // namespace lba

#endif  // LBA_PARALLEL_H_
