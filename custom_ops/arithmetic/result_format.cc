#include "arithmetic/result_format.h"

#include <algorithm>
#include <iterator>
#include <set>

namespace lba {
namespace {

const std::string kRoundings[] = {"truncate", "nearest", "nearest-away", "odd"};  // in the order of Rounding

struct Named {
  const char* name;
  FloatFormat format;
};
constexpr Named kNamed[] = {
    {"float32", {23, 8, 127, true, true}},
    {"float16", {10, 5, 15, true, true}},
    {"bfloat16", {7, 8, 127, true, true}},
};

const Named* NameOf(const FloatFormat& format) {
  const auto found =
      std::find_if(std::begin(kNamed), std::end(kNamed), [&](const Named& named) { return named.format == format; });
  return found == std::end(kNamed) ? nullptr : found;
}

void ReadOption(const Part& option, const std::string& text, const std::string& further, ResultFormat* result) {
  FloatFormat& format = result->format;
  const std::string& said = option.text;
  const std::string round = "round=";
  if (said == "range=infinity" || said == "range=saturate") {
    format.has_infinity = said == "range=infinity";
    return;
  }
  if (said == "subnormals=keep" || said == "subnormals=none") {
    format.has_subnormals = said == "subnormals=keep";
    return;
  }
  const auto found = std::find(std::begin(kRoundings), std::end(kRoundings),
                               said.compare(0, round.size(), round) == 0 ? said.substr(round.size()) : "");
  if (found == std::end(kRoundings)) {
    FailAt("expected " + further +
               "round=truncate, round=nearest, round=nearest-away, round=odd, range=infinity, range=saturate, "
               "subnormals=keep or subnormals=none, got '" +
               said + "'",
           option, text);
  }
  result->rounding = static_cast<Rounding>(found - std::begin(kRoundings));
}

}  // namespace

RuledConstants ResultFormat::constants() const {
  RuledConstants constants;
  constants.accumulator = RuledFormat::Of(format, true);
  constants.rounding = rounding;
  return constants;
}

std::vector<std::string> ResultFormat::events() const {
  if (format.has_subnormals) return {"overflow", "underflow", "subnormal"};
  return {"overflow", "underflow"};
}

ResultFormat ReadResultFormat(const Part& format, const std::vector<Part>& options, const std::string& text,
                              const std::string& further) {
  ResultFormat result;
  std::string bits = format.text;
  result.format.has_infinity = result.format.has_subnormals = false;
  for (const Named& named : kNamed) {
    if (named.name != format.text) continue;
    bits = TextOf(named.format);
    result.format = named.format;
  }
  std::set<std::string> seen;
  for (const Part& option : options) {
    const std::string key = option.text.substr(0, option.text.find('='));
    if (!seen.insert(key).second) FailAt("expected " + key + " once, got it twice", option, text);
    ReadOption(option, text, further, &result);
  }
  const std::string reason = ParseFormat(bits, &result.format);
  if (!reason.empty()) FailAt(reason, format, text);
  return result;
}

std::string HeadOf(const ResultFormat& result) {
  const Named* named = NameOf(result.format);
  return named == nullptr ? TextOf(result.format) : named->name;
}

std::string OptionsOf(const ResultFormat& result) {
  const bool is_named = NameOf(result.format) != nullptr;
  std::string text;
  if (result.rounding != Rounding::kNearest) text += ",round=" + kRoundings[static_cast<int>(result.rounding)];
  if (result.format.has_infinity && !is_named) text += ",range=infinity";
  if (result.format.has_subnormals && !is_named) text += ",subnormals=keep";
  return text;
}

}  // namespace lba
