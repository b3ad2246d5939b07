#include <stdexcept>

#include "arithmetic/chunked_float/accumulator.h"

namespace lba {

SharedAccumulator MakeNearest(const AccumulatorSpec& spec) {
  throw std::invalid_argument("expected round=truncate, which this library computes, got '" + TextOf(spec) + "'");
}

}  // namespace lba
