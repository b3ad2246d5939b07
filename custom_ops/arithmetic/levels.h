// The levels of an accumulator, by name: what statistics tell of.
#ifndef LBA_ARITHMETIC_LEVELS_H_
#define LBA_ARITHMETIC_LEVELS_H_

#include <string>
#include <vector>

namespace lba {

// The values of one rounding point, and what may happen to one of them.
struct Level {
  std::string name;
  std::vector<std::string> events;

  bool operator==(const Level& other) const { return name == other.name && events == other.events; }
};

// Products first, the total last.
using Levels = std::vector<Level>;

// "product", "partial_sum", "partial_sum_2" and so on, "total": sums of products in groups, of these sums in groups, as
// many levels as `partial_sums` says, and of what is left.
Levels NamedLevels(int partial_sums, const std::vector<std::string>& product_events,
                   const std::vector<std::string>& sum_events);

// A line for each level: its name, then those of its events.
std::string TextOf(const Levels& levels);

}  // namespace lba

#endif  // LBA_ARITHMETIC_LEVELS_H_
