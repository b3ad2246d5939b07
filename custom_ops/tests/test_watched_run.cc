// A run that was stopped begins no further task, ends with RunStopped, and stops no other.
#include <atomic>
#include <thread>

#include "check.h"
#include "lba/parallel.h"
#include "lba/watched_run.h"

namespace {

using lba::RunScope;
using lba::RunTasks;
using lba::WatchedRun;

class CountingParallel : public lba::SerialParallel {
 public:
  bool counts_progress() const override { return true; }
};

// How many of `count` tasks begin where the one that begins as number `last` stops `run`.
int64_t TasksBegun(const lba::Parallel& parallel, int64_t count, int64_t last, WatchedRun* run) {
  std::atomic<int64_t> begun{0};
  bool is_stopped = false;
  try {
    RunTasks(parallel, count, [&](int64_t) {
      if (++begun == last) run->Stop();
    });
  } catch (const lba::RunStopped&) {
    is_stopped = true;
  }
  CHECK(is_stopped == (lba::CurrentRun() != nullptr && run->is_stopped()),
        "expected RunStopped from stopped runs, and from no others");
  return begun;
}

}  // namespace

int main() {
  const CountingParallel serial;
  const lba::ThreadParallel threads(4);
  {
    WatchedRun run;
    const RunScope scope(&run);
    CHECK(TasksBegun(serial, 100, 7, &run) == 7, "tasks began after the run was stopped");
    CHECK(TasksBegun(serial, 1, 1, &run) == 0, "a task of a stopped run began");
  }
  {
    WatchedRun run;
    const RunScope scope(&run);
    const int64_t begun = TasksBegun(threads, 1000000, 50, &run);
    CHECK(begun >= 50 && begun < 1000000, "%lld tasks began", static_cast<long long>(begun));
  }
  {
    WatchedRun run, other;
    const RunScope scope(&run);
    std::thread thread([&] {
      CHECK(lba::CurrentRun() == nullptr, "expected no run");
      CHECK(TasksBegun(serial, 100, 7, &run) == 100, "a run stopped the tasks of another thread");
      const RunScope inner(&other);
      CHECK(TasksBegun(threads, 100, 101, &other) == 100, "a run stopped the tasks of another");
    });
    thread.join();
    CHECK(run.is_stopped() && !other.is_stopped(), "the wrong run was stopped");
  }
  {
    WatchedRun run;
    const RunScope scope(&run);
    const int64_t count = 3000000;  // each a tiny share
    RunTasks(serial, count, [](int64_t) {}, 0.25);
    CHECK(run.node_share() > 0.2499 && run.node_share() <= 0.25, "got %g", run.node_share());
    RunTasks(
        threads, 10, [&](int64_t) { CHECK(lba::CurrentRun() == &run, "tasks work for the run of their caller"); },
        0.5);  // counts no progress
    CHECK(run.node_share() <= 0.25 && run.ended_nodes() == 0, "got %g", run.node_share());
    run.EndNode();
    CHECK(run.node_share() == 0 && run.ended_nodes() == 1, "got %g", run.node_share());
  }
  CHECK(lba::CurrentRun() == nullptr, "expected no run");
  return 0;
}
