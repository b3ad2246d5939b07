#include "onnxruntime/offload.h"

#include <cstdlib>

namespace lba::ort {
namespace {

constexpr char kConfigEntry[] = "lba_onnx.offload";
constexpr char kVariable[] = "LBA_ONNX_OFFLOAD";

Place PlaceOf(const std::string& value, const std::string& source) {
  if (value == "cuda") return Place::kOffloaded;
  throw std::invalid_argument(source + ": expected \"cuda\", got \"" + value + "\"");
}

std::string ConfigEntry(const Api* api, const SessionOptions* options) {
  size_t bytes = 0;
  Check(api, GetSessionConfigEntry(api, options, kConfigEntry, nullptr, &bytes));
  std::string value(bytes, '\0');
  Check(api, GetSessionConfigEntry(api, options, kConfigEntry, value.data(), &bytes));
  value.resize(bytes - 1);
  return value;
}

}  // namespace

Place PlaceOfCpuOperators(const Api* api, const SessionOptions* options) {
  int has_entry = 0;
  Check(api, HasSessionConfigEntry(api, options, kConfigEntry, &has_entry));
  if (has_entry != 0) {
    return PlaceOf(ConfigEntry(api, options), std::string("session config entry ") + kConfigEntry);
  }
  const char* variable = std::getenv(kVariable);
  if (variable == nullptr || *variable == '\0') return Place::kCpu;
  return PlaceOf(variable, std::string("environment variable ") + kVariable);
}

}  // namespace lba::ort
