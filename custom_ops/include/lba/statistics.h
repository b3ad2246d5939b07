// What dot products' operands and intermediate values look like: collected, or shown to an observer, while computing.
#ifndef LBA_STATISTICS_H_
#define LBA_STATISTICS_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "arithmetic/accumulator.h"
#include "lba/c_api.h"

namespace lba {

// Whom the nodes of a run show what they computed; none where `call` is null. One that fills computes it itself.
struct Observer {
  LbaObserver call = nullptr;
  void* context = nullptr;
  bool fills = false;
};

// How a run looks into its nodes.
struct RunOptions {
  double sampled_fraction = 1;
  Observer observer;
};

// What was counted: an LbaStatistics that owns its levels.
struct Counts {
  int64_t outputs = 0, sampled_outputs = 0;
  std::vector<LbaLevel> levels;

  explicit Counts(size_t level_count = 0) : levels(level_count) {}
  // Throws std::invalid_argument where there is no room, or no place at all.
  void Fill(LbaStatistics* out) const;
};

// Counters of one product of a node, or its observer. Merge may be called from several threads at once.
class StatisticsCollector {
 public:
  StatisticsCollector(std::string key, const RunOptions& options) : key_(std::move(key)), options_(options) {}

  // Whether the node shows its operands and results to an observer instead of counting.
  bool is_observed() const { return options_.observer.call != nullptr; }
  // Whether that observer computes the results.
  bool is_filled() const { return is_observed() && options_.observer.fills; }
  // Throws std::runtime_error when the observer makes the node fail; a stopped run's observer is not called any more.
  void Observe(const Accumulator& accumulator, const LbaMatMulArgs* matmul, const LbaConvArgs* conv) const;
  // Of the positions (rows of a matmul, output positions of a convolution), those sampled for histograms and events;
  // in (0, 1].
  double sampled_fraction() const { return options_.sampled_fraction; }
  // A different number at each call: where the samples of the call start. Throws std::invalid_argument where the levels
  // of the accumulator are not those of the calls before.
  int64_t NextCall(const Accumulator& accumulator);
  void Merge(const Counts& counts);
  // The largest magnitudes alone, of each level: cheap enough to be called for every few outputs.
  void MergeLargest(const double* largest);
  // The largest magnitudes begin anew; all else stays.
  void ForgetLargest();
  Counts Read() const;
  Levels levels() const;

 private:
  const std::string key_;
  const RunOptions options_;
  mutable std::mutex mutex_;
  int64_t calls_ = 0;
  Levels levels_;
  Counts counts_;
};

// Collectors by key "run/node", or "run/node/product". Closing a run forgets its keys.
// Opening an open run, or closing one that is not open, returns false.
bool OpenStatisticsRun(const std::string& run, const RunOptions& options);
bool CloseStatisticsRun(const std::string& run);
// The collector of a key (made at first use), or null when the run before the first '/' is not open.
std::shared_ptr<StatisticsCollector> FindStatistics(const std::string& key);

}  // namespace lba

#endif  // LBA_STATISTICS_H_
