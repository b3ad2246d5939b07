#include <string>
#include <vector>

#include "arithmetic/kulisch/spec.h"
#include "arithmetic/registry.h"

namespace lba {
namespace {

const std::string kName = "kulisch";

bool Claims(const std::string& text) { return BeginsWith(text, kName); }

SharedAccumulator Parse(const std::string& text) {
  const std::vector<Part> parts = Split({text, 0}, ',');
  const Part& head = parts.front();
  const std::string inside = head.text.substr(kName.size());
  Part format{HeadOf(ResultFormat()), head.start + kName.size() + 1};
  if (!inside.empty()) {
    if (inside.size() < 2 || inside.front() != '(' || inside.back() != ')') {
      FailAt("expected kulisch or kulisch(<format>), got '" + head.text + "'", head, text);
    }
    format.text = Split({inside.substr(1, inside.size() - 2), 0}, '\0').front().text;
  }
  return MakeKulisch(ReadResultFormat(format, {parts.begin() + 1, parts.end()}, text));
}

const KindRegistration registration({kName, Claims, Parse, true});

}  // namespace

Levels KulischLevels(const ResultFormat& result) {
  return {{"product", {}}, {"partial_sum", {}}, {"total", result.events()}};
}

std::string KulischText(const ResultFormat& result) {
  const std::string head = HeadOf(result);
  const bool is_named = head == HeadOf(ResultFormat());
  return kName + (is_named ? "" : "(" + head + ")") + OptionsOf(result);
}

}  // namespace lba
