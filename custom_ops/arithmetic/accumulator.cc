#include "arithmetic/accumulator.h"

#include <stdexcept>

#include "arithmetic/chunked_float/text.h"

namespace lba {

Accumulator::Accumulator(const AccumulatorSpec& spec) : spec_(spec), text_(TextOf(spec)) {}

SharedAccumulator ParseAccumulator(const std::string& text) {
  const AccumulatorSpec spec = ParseSpec(text);
  if (spec.rounding != Rounding::kTruncate) {
    throw std::invalid_argument("expected round=truncate, which this library computes, got '" + text + "'");
  }
  return std::make_shared<const Accumulator>(spec);
}

}  // namespace lba
