// A run of a session, or other work that begins on one thread, which another thread stops and watches.
#ifndef LBA_WATCHED_RUN_H_
#define LBA_WATCHED_RUN_H_

#include <atomic>
#include <cstdint>
#include <stdexcept>

namespace lba {

// What work that was stopped ends with.
class RunStopped : public std::runtime_error {
 public:
  RunStopped() : std::runtime_error("the run was stopped") {}
};

// All functions may be called from several threads at once.
class WatchedRun {
 public:
  void Stop() { is_stopped_.store(true, std::memory_order_relaxed); }
  bool is_stopped() const { return is_stopped_.load(std::memory_order_relaxed); }

  void CountCreatedNode() { ++created_nodes_; }
  // A part of the node at work is done: a share of it, 0 to 1.
  void Advance(double share);
  void EndNode();

  // Nodes created, where the work was to create a session.
  int64_t created_nodes() const { return created_nodes_; }
  // Executions of nodes that have ended.
  int64_t ended_nodes() const { return ended_nodes_; }
  // Of the node at work, 0 to 1.
  double node_share() const;

 private:
  std::atomic<bool> is_stopped_{false};
  std::atomic<int64_t> created_nodes_{0}, ended_nodes_{0};
  std::atomic<int64_t> node_units_{0};  // of 2^-40
};

// The run that the calling thread works for; null where nobody watches.
WatchedRun* CurrentRun();
void EnterRun(WatchedRun* run);

// Throws RunStopped when the run that the calling thread works for was stopped: for loops between pieces of some
// milliseconds.
void ThrowIfStopped();

// The calling thread works for `run`, which may be null, until the end of the scope.
class RunScope {
 public:
  explicit RunScope(WatchedRun* run);
  ~RunScope();
  RunScope(const RunScope&) = delete;
  RunScope& operator=(const RunScope&) = delete;

 private:
  WatchedRun* previous_;
};

}  // namespace lba

#endif  // LBA_WATCHED_RUN_H_
