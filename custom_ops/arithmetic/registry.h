// The kinds of accumulators that a library has.
#ifndef LBA_ARITHMETIC_REGISTRY_H_
#define LBA_ARITHMETIC_REGISTRY_H_

#include <string>

#include "arithmetic/accumulator.h"

namespace lba {

struct Kind {
  std::string name;
  bool (*claims)(const std::string& text);              // whether a text begins as one of this kind does
  SharedAccumulator (*parse)(const std::string& text);  // of a text that it claims; throws std::invalid_argument
  bool is_on_cuda = false;                              // whether the CUDA library computes it
};

// One static object for each kind makes it known.
class KindRegistration {
 public:
  explicit KindRegistration(const Kind& kind);
};

// The names of all kinds in alphabetical order, separated by spaces; valid until the process ends.
const std::string& KindNames();
// Of those that the CUDA library computes.
const std::string& KindNamesOnCuda();

}  // namespace lba

#endif  // LBA_ARITHMETIC_REGISTRY_H_
