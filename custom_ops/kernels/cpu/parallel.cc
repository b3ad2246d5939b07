#include "lba/parallel.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "lba/watched_run.h"

namespace lba {

void SerialParallel::For(int64_t count, const std::function<void(int64_t)>& task) const {
  for (int64_t i = 0; i < count; ++i) task(i);
}

void ThreadParallel::For(int64_t count, const std::function<void(int64_t)>& task) const {
  std::atomic<int64_t> next{0};
  auto work = [&] {
    for (int64_t i = next++; i < count; i = next++) task(i);
  };
  std::vector<std::thread> helpers;
  const int64_t wanted = std::min<int64_t>(threads_, count) - 1;
  for (int64_t i = 0; i < wanted; ++i) {
    try {
      helpers.emplace_back(work);
    } catch (const std::exception&) {
      break;  // no more threads, or no memory for one: those that run do the work, and have to be joined
    }
  }
  work();
  for (std::thread& helper : helpers) helper.join();
}

void RunTasks(const Parallel& parallel, int64_t count, const std::function<void(int64_t)>& task, double share) {
  std::mutex mutex;
  std::exception_ptr first;
  WatchedRun* const run = CurrentRun();
  const bool is_counted = run != nullptr && share > 0 && parallel.counts_progress();
  auto guarded = [&](int64_t i) {
    if (run != nullptr && run->is_stopped()) return;
    try {
      const RunScope scope(run);
      task(i);
      if (is_counted) run->Advance(share / static_cast<double>(count));
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex);
      if (!first) first = std::current_exception();
    }
  };
  if (count == 1) {
    guarded(0);
  } else if (count > 1) {
    parallel.For(count, guarded);
  }
  if (first) std::rethrow_exception(first);
  ThrowIfStopped();
}

}  // namespace lba
