// What a dot product's intermediate values look like: collected while computing, for calibration and diagnosis.
#ifndef LBA_STATISTICS_H_
#define LBA_STATISTICS_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "lba/c_api.h"
#include "lba/format.h"

namespace lba {

// Counters of one node. Merge may be called from several threads at once.
class StatisticsCollector {
 public:
  explicit StatisticsCollector(double sampled_fraction) : sampled_fraction_(sampled_fraction) {}

  // Of the positions (rows of a matmul, output positions of a convolution), those sampled for histograms and events;
  // in (0, 1].
  double sampled_fraction() const { return sampled_fraction_; }
  // A different number at each call: where the samples of the call start.
  int64_t NextCall();
  void Merge(const LbaStatistics& counts);
  LbaStatistics Read() const;

 private:
  const double sampled_fraction_;
  mutable std::mutex mutex_;
  int64_t calls_ = 0;
  LbaStatistics counts_{};
};

// Collectors by key "run/node". A run is opened with the fraction that its nodes sample; closing it forgets its keys.
// Opening an open run, or closing one that is not open, returns false.
bool OpenStatisticsRun(const std::string& run, double sampled_fraction);
bool CloseStatisticsRun(const std::string& run);
// The collector of a key (made at first use), or null when the run before the first '/' is not open.
std::shared_ptr<StatisticsCollector> FindStatistics(const std::string& key);

}  // namespace lba

#endif  // LBA_STATISTICS_H_
