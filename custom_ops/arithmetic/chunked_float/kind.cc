#include "arithmetic/chunked_float/accumulator.h"
#include "arithmetic/registry.h"

namespace lba {
namespace {

SharedAccumulator Parse(const std::string& text) {
  const AccumulatorSpec spec = ParseSpec(text);
  return spec.rounding == Rounding::kNearest ? MakeNearest(spec) : MakeTruncating(spec);
}

const KindRegistration registration({"chunked-float", IsChunkedFloat, Parse});

}  // namespace
}  // namespace lba
