#include "arithmetic/attributes.h"

#include <stdexcept>
#include <string>

#include "arithmetic/chunked_float/attributes.h"

namespace lba {
namespace {

SharedAccumulator Parse(const std::string& name, const std::string& text) {
  try {
    return ParseAccumulator(text);
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument("attribute " + name + ": " + error.what());
  }
}

SharedAccumulator ReadOfTheOnlyProduct(const AttributeReader& attributes) {
  std::string text;
  if (!attributes.Read("accumulator", &text)) return ParseAccumulator(TextOfAttributes(attributes));
  const std::string other = FirstChunkedFloatAttribute(attributes);
  if (!other.empty()) {
    throw std::invalid_argument("attributes accumulator and " + other + ": expected one of them, got both");
  }
  return Parse("accumulator", text);
}

}  // namespace

SharedAccumulator ReadAccumulator(const AttributeReader& attributes, const std::string& product) {
  if (product.empty()) return ReadOfTheOnlyProduct(attributes);
  const std::string name = "accumulator_" + product;
  std::string text;
  if (attributes.Read(name.c_str(), &text)) return Parse(name, text);
  throw std::invalid_argument("attribute " + name + ": expected an accumulator such as 'M7E4b12/M7E4b10', got none");
}

}  // namespace lba
