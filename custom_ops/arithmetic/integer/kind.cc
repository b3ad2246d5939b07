#include <memory>
#include <string>

#include "arithmetic/integer/spec.h"
#include "arithmetic/registry.h"

namespace lba {
namespace {

Levels LevelsOf(const IntegerSums& sums) {
  Levels levels = NamedLevels(static_cast<int>(sums.levels.size()) - 1, {"overflow"}, {});
  for (size_t i = 0; i < sums.levels.size(); ++i) {
    levels[i + 1].events = {sums.levels[i].saturates ? "saturation" : "wrap"};
  }
  return levels;
}

class Integer : public Accumulator {
 public:
  explicit Integer(const IntegerSpec& spec) : Accumulator(TextOf(spec), LevelsOf(spec.sums)), sums_(spec.sums) {}

  const IntegerSums* integers() const override { return &sums_; }

 private:
  const IntegerSums sums_;
};

SharedAccumulator Parse(const std::string& text) { return std::make_shared<Integer>(ParseInteger(text)); }

const KindRegistration registration({"integer", IsInteger, Parse});

}  // namespace
}  // namespace lba
