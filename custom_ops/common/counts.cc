#include <algorithm>
#include <string>

#include "common/arguments.h"
#include "lba/statistics.h"

namespace lba {

void Counts::Fill(LbaStatistics* out) const {
  const auto count = static_cast<int64_t>(levels.size());
  Require(out != nullptr, "expected a place for the counts, got null");
  Require(out->levels == nullptr || out->level_count >= count,
          "expected room for " + std::to_string(count) + " levels, got " + std::to_string(out->level_count));
  out->outputs = outputs;
  out->sampled_outputs = sampled_outputs;
  out->level_count = count;
  if (out->levels != nullptr) std::copy(levels.begin(), levels.end(), out->levels);
}

}  // namespace lba
