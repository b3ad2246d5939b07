#include "arithmetic/registry.h"

#include <map>
#include <stdexcept>

namespace lba {
namespace {

std::map<std::string, Kind>& Kinds() {
  static auto* kinds = new std::map<std::string, Kind>;  // never destroyed: sessions may outlive static destruction
  return *kinds;
}

template <class Predicate>
std::string* NamesOf(const Predicate& is_named) {
  auto* all = new std::string;
  for (const auto& [name, kind] : Kinds()) {
    if (is_named(kind)) *all += (all->empty() ? "" : " ") + name;
  }
  return all;
}

}  // namespace

KindRegistration::KindRegistration(const Kind& kind) { Kinds().emplace(kind.name, kind); }

const std::string& KindNames() {
  static const auto* names = NamesOf([](const Kind&) { return true; });
  return *names;
}

const std::string& KindNamesOnCuda() {
  static const auto* names = NamesOf([](const Kind& kind) { return kind.is_on_cuda; });
  return *names;
}

SharedAccumulator ParseAccumulator(const std::string& text) {
  for (const auto& [name, kind] : Kinds()) {
    if (kind.claims(text)) return kind.parse(text);
  }
  throw std::invalid_argument("expected an accumulator such as 'M7E4b12/M7E4b10', of a kind out of " + KindNames() +
                              ", at character 1 of the spec '" + text + "'");
}

}  // namespace lba
