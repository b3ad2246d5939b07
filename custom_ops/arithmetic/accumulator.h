// An accumulator as everything that computes knows it: made from its text, immutable, shared.
#ifndef LBA_ARITHMETIC_ACCUMULATOR_H_
#define LBA_ARITHMETIC_ACCUMULATOR_H_

#include <memory>
#include <string>

#include "lba/format.h"

namespace lba {

class Accumulator {
 public:
  explicit Accumulator(const AccumulatorSpec& spec);

  // The identity of the arithmetic: the same for all texts that mean the same.
  const std::string& text() const { return text_; }
  const AccumulatorSpec& spec() const { return spec_; }

 private:
  AccumulatorSpec spec_;
  std::string text_;
};

using SharedAccumulator = std::shared_ptr<const Accumulator>;

// Throws std::invalid_argument, with the character at fault, for a text that names no accumulator.
SharedAccumulator ParseAccumulator(const std::string& text);

}  // namespace lba

#endif  // LBA_ARITHMETIC_ACCUMULATOR_H_
