#include "arithmetic/chunked_float/attributes.h"

#include <cstdint>
#include <stdexcept>

#include "arithmetic/chunked_float/spec.h"

namespace lba {
namespace {

[[noreturn]] void Fail(const char* name, const std::string& reason) {
  throw std::invalid_argument(std::string("attribute ") + name + ": " + reason);
}

FloatFormat ReadFormat(const AttributeReader& attributes, const char* name) {
  std::string text;
  if (!attributes.Read(name, &text)) Fail(name, "expected a format such as M7E4b10, got none");
  FloatFormat format;
  const std::string reason = ParseFormat(text, &format);
  if (!reason.empty()) Fail(name, reason);
  return format;
}

}  // namespace

std::string FirstChunkedFloatAttribute(const AttributeReader& attributes) {
  std::string text;
  for (const char* name : {"product_format", "accumulator_format"}) {
    if (attributes.Read(name, &text)) return name;
  }
  int64_t number = 0;
  for (const char* name : {"chunk_size", "underflow"}) {
    if (attributes.Read(name, &number)) return name;
  }
  return "";
}

std::string TextOfAttributes(const AttributeReader& attributes) {
  AccumulatorSpec spec;
  spec.product_format = ReadFormat(attributes, "product_format");
  spec.accumulator_format = ReadFormat(attributes, "accumulator_format");
  attributes.Read("chunk_size", &spec.chunk_size);
  int64_t underflow = 1;
  attributes.Read("underflow", &underflow);
  if (underflow != 0 && underflow != 1) Fail("underflow", "expected 0 or 1, got " + std::to_string(underflow));
  spec.underflow = underflow == 1;
  const std::string reason = CheckSpec(spec);
  if (!reason.empty()) throw std::invalid_argument("attribute " + reason);
  return TextOf(spec);
}

}  // namespace lba
