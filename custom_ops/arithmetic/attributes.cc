#include "arithmetic/attributes.h"

#include <stdexcept>
#include <string>

#include "arithmetic/chunked_float/attributes.h"

namespace lba {

SharedAccumulator ReadAccumulator(const AttributeReader& attributes) {
  std::string text;
  if (!attributes.Read("accumulator", &text)) return ParseAccumulator(TextOfAttributes(attributes));
  const std::string other = FirstChunkedFloatAttribute(attributes);
  if (!other.empty()) {
    throw std::invalid_argument("attributes accumulator and " + other + ": expected one of them, got both");
  }
  try {
    return ParseAccumulator(text);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(std::string("attribute accumulator: ") + error.what());
  }
}

}  // namespace lba
