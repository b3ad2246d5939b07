#include "arithmetic/levels.h"

namespace lba {

Levels NamedLevels(int partial_sums, const std::vector<std::string>& product_events,
                   const std::vector<std::string>& sum_events) {
  Levels levels{{"product", product_events}};
  for (int n = 1; n <= partial_sums; ++n) {
    levels.push_back({n == 1 ? "partial_sum" : "partial_sum_" + std::to_string(n), sum_events});
  }
  levels.push_back({"total", sum_events});
  return levels;
}

std::string TextOf(const Levels& levels) {
  std::string text;
  for (const Level& level : levels) {
    if (!text.empty()) text += "\n";
    text += level.name;
    for (const std::string& event : level.events) text += " " + event;
  }
  return text;
}

}  // namespace lba
