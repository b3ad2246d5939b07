#include "onnxruntime/attributes.h"

namespace lba::ort {

bool KernelAttributes::Read(const char* name, int64_t* out) const {
  return Succeeded(api_, KernelInfoGetAttribute_int64(api_, info_, name, out)) || Absent(name, "an int");
}

bool KernelAttributes::Read(const char* name, float* out) const {
  return Succeeded(api_, KernelInfoGetAttribute_float(api_, info_, name, out)) || Absent(name, "a float");
}

bool KernelAttributes::Read(const char* name, std::string* out) const {
  size_t bytes = 0;
  if (!Succeeded(api_, KernelInfoGetAttribute_string(api_, info_, name, nullptr, &bytes))) {
    return Absent(name, "a string");
  }
  std::string text(bytes, '\0');
  Check(api_, KernelInfoGetAttribute_string(api_, info_, name, text.data(), &bytes));
  text.resize(bytes - 1);
  *out = text;
  return true;
}

bool KernelAttributes::Read(const char* name, std::vector<int64_t>* out) const {
  const std::string type = TypeOf(name);
  if (type != "a list of ints") return Absent(name, "a list of ints");
  size_t count = 0;
  Check(api_, KernelInfoGetAttributeArray_int64(api_, info_, name, nullptr, &count));
  std::vector<int64_t> values(count);
  Check(api_, KernelInfoGetAttributeArray_int64(api_, info_, name, values.data(), &count));
  *out = values;
  return true;
}

std::string KernelAttributes::TypeOf(const char* name) const {
  int64_t integer;
  float number;
  size_t size = 0;
  if (Succeeded(api_, KernelInfoGetAttribute_int64(api_, info_, name, &integer))) return "an int";
  if (Succeeded(api_, KernelInfoGetAttribute_float(api_, info_, name, &number))) return "a float";
  if (Succeeded(api_, KernelInfoGetAttribute_string(api_, info_, name, nullptr, &size))) return "a string";
  // onnxruntime reads a list of any other type as an empty one, so the lists of floats come first.
  size = 0;
  if (Succeeded(api_, KernelInfoGetAttributeArray_float(api_, info_, name, nullptr, &size)) && size > 0) {
    return "a list of floats";
  }
  if (Succeeded(api_, KernelInfoGetAttributeArray_int64(api_, info_, name, nullptr, &size))) return "a list of ints";
  return "";
}

bool KernelAttributes::Absent(const char* name, const char* expected) const {
  const std::string type = TypeOf(name);
  if (type.empty()) return false;
  throw std::invalid_argument(std::string("attribute ") + name + ": expected " + expected + ", got " + type);
}

const OpAttr* InferenceAttributes::Find(const char* name) const {
  const OpAttr* attribute = nullptr;
  const bool is_found = Succeeded(api_, ShapeInferContext_GetAttribute(api_, context_, name, &attribute));
  return is_found ? attribute : nullptr;
}

bool InferenceAttributes::Read(const char* name, int64_t* out) const {
  const OpAttr* attribute = Find(name);
  size_t bytes = 0;
  int64_t value = 0;
  if (attribute == nullptr || !Succeeded(api_, ReadOpAttr(api_, attribute, kInt, &value, sizeof value, &bytes))) {
    return false;
  }
  *out = value;
  return true;
}

bool InferenceAttributes::Read(const char*, float*) const { return false; }

bool InferenceAttributes::Read(const char* name, std::string* out) const {
  const OpAttr* attribute = Find(name);
  if (attribute == nullptr) return false;
  char text[64] = "";
  size_t bytes = 0;  // with or without the final zero, by onnxruntime's version: the last one here is never written
  if (!Succeeded(api_, ReadOpAttr(api_, attribute, kString, text, sizeof text - 1, &bytes))) return false;
  *out = text;
  return true;
}

bool InferenceAttributes::Read(const char* name, std::vector<int64_t>* out) const {
  const OpAttr* attribute = Find(name);
  if (attribute == nullptr) return false;
  std::vector<int64_t> values(16);
  size_t bytes = 0;
  const size_t room = values.size() * sizeof values[0];
  if (!Succeeded(api_, ReadOpAttr(api_, attribute, kInts, values.data(), room, &bytes))) return false;
  values.resize(bytes / sizeof values[0]);
  *out = values;
  return true;
}

}  // namespace lba::ort
