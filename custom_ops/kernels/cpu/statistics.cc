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

void Add(const LbaEvents& from, LbaEvents* to) {
  to->values += from.values;
  to->overflows += from.overflows;
  to->underflows += from.underflows;
  to->swamped += from.swamped;
}

}  // namespace

void StatisticsCollector::Observe(const Accumulator& accumulator, const LbaMatMulArgs* matmul,
                                  const LbaConvArgs* conv) const {
  ThrowIfStopped();
  const LbaObservation observation{key_.c_str(), accumulator.text().c_str(), matmul, conv};
  if (options_.observer.call(&observation, options_.observer.context) == 0) return;
  throw std::runtime_error("its observer stopped the run");
}

int64_t StatisticsCollector::NextCall() {
  const std::lock_guard<std::mutex> lock(mutex_);
  return calls_++;
}

void StatisticsCollector::MergeLargest(double product, double partial_sum, double total) {
  const std::lock_guard<std::mutex> lock(mutex_);
  counts_.max_abs_product = std::max(counts_.max_abs_product, product);
  counts_.max_abs_partial_sum = std::max(counts_.max_abs_partial_sum, partial_sum);
  counts_.max_abs_total = std::max(counts_.max_abs_total, total);
}

void StatisticsCollector::ForgetLargest() {
  const std::lock_guard<std::mutex> lock(mutex_);
  counts_.max_abs_product = counts_.max_abs_partial_sum = counts_.max_abs_total = 0;
}

void StatisticsCollector::Merge(const LbaStatistics& counts) {
  MergeLargest(counts.max_abs_product, counts.max_abs_partial_sum, counts.max_abs_total);
  const std::lock_guard<std::mutex> lock(mutex_);
  counts_.outputs += counts.outputs;
  counts_.sampled_outputs += counts.sampled_outputs;
  Add(counts.products, &counts_.products);
  Add(counts.partial_sums, &counts_.partial_sums);
  Add(counts.totals, &counts_.totals);
  for (int bin = 0; bin < LBA_LOG2_BINS; ++bin) {
    counts_.products_log2[bin] += counts.products_log2[bin];
    counts_.partial_sums_log2[bin] += counts.partial_sums_log2[bin];
    counts_.totals_log2[bin] += counts.totals_log2[bin];
  }
}

LbaStatistics StatisticsCollector::Read() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return counts_;
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
