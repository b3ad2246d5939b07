#include "arithmetic/chunked_float/accumulator.h"
#include "arithmetic/registry.h"

namespace lba {
namespace {

SharedAccumulator Parse(const std::string& text) { return MakeChunkedFloat(ParseSpec(text)); }

const KindRegistration registration({"chunked-float", IsChunkedFloat, Parse, true});

}  // namespace
}  // namespace lba
