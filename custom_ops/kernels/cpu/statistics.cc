#include "lba/statistics.h"

#include <algorithm>
#include <map>
#include <stdexcept>

#include "common/arguments.h"
#include "lba/watched_run.h"

namespace lba {
namespace {

struct Run {
  RunOptions options;
  std::map<std::string, std::shared_ptr<StatisticsCollector>> collectors;  // by whole key
};

struct Registry {
  std::mutex mutex;
  std::map<std::string, Run> runs;
};

Registry& TheRegistry() {
  static Registry* registry = new Registry;  // never destroyed: sessions may outlive static destruction
  return *registry;
}

void Add(const LbaLevel& from, LbaLevel* to) {
  to->values += from.values;
  for (int event = 0; event < LBA_LEVEL_EVENTS; ++event) to->events[event] += from.events[event];
  for (int bin = 0; bin < LBA_LOG2_BINS; ++bin) to->log2[bin] += from.log2[bin];
}

}  // namespace

void StatisticsCollector::Observe(const Accumulator& accumulator, const LbaMatMulArgs* matmul,
                                  const LbaConvArgs* conv) const {
  ThrowIfStopped();
  const LbaObservation observation{key_.c_str(), accumulator.text().c_str(), matmul, conv};
  if (options_.observer.call(&observation, options_.observer.context) == 0) return;
  throw std::runtime_error("its observer stopped the run");
}

int64_t StatisticsCollector::NextCall(const Accumulator& accumulator) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Require(
      levels_.empty() || levels_ == accumulator.levels(),
      "expected an accumulator with the levels of those before for the key " + key_ + ", got " + accumulator.text());
  levels_ = accumulator.levels();
  counts_.levels.resize(levels_.size());
  return calls_++;
}

void StatisticsCollector::MergeLargest(const double* largest) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (LbaLevel& level : counts_.levels) level.max_abs = std::max(level.max_abs, *largest++);
}

void StatisticsCollector::ForgetLargest() {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (LbaLevel& level : counts_.levels) level.max_abs = 0;
}

void StatisticsCollector::Merge(const Counts& counts) {
  const std::lock_guard<std::mutex> lock(mutex_);
  counts_.outputs += counts.outputs;
  counts_.sampled_outputs += counts.sampled_outputs;
  for (size_t i = 0; i < counts.levels.size(); ++i) {
    LbaLevel& level = counts_.levels[i];
    level.max_abs = std::max(level.max_abs, counts.levels[i].max_abs);
    Add(counts.levels[i], &level);
  }
}

Counts StatisticsCollector::Read() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return counts_;
}

Levels StatisticsCollector::levels() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return levels_;
}

bool OpenStatisticsRun(const std::string& run, const RunOptions& options) {
  Registry& registry = TheRegistry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  return registry.runs.emplace(run, Run{options, {}}).second;
}

bool CloseStatisticsRun(const std::string& run) {
  Registry& registry = TheRegistry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  return registry.runs.erase(run) == 1;
}

std::shared_ptr<StatisticsCollector> FindStatistics(const std::string& key) {
  Registry& registry = TheRegistry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  const auto run = registry.runs.find(key.substr(0, key.find('/')));
  if (run == registry.runs.end()) return nullptr;
  std::shared_ptr<StatisticsCollector>& collector = run->second.collectors[key];
  if (!collector) collector = std::make_shared<StatisticsCollector>(key, run->second.options);
  return collector;
}

}  // namespace lba
