#include <stdexcept>

#include "arithmetic/chunked_float/accumulator.h"
#include "arithmetic/registry.h"

namespace lba {
namespace {

SharedAccumulator Parse(const std::string& text) {
  const AccumulatorSpec spec = ParseSpec(text);
  if (spec.rounding == Rounding::kTruncate) return MakeTruncating(spec);
  throw std::invalid_argument("expected round=truncate, which this library computes, got '" + text + "'");
}

const KindRegistration registration({"chunked-float", IsChunkedFloat, Parse});

}  // namespace
}  // namespace lba
