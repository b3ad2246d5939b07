// A kind that brings its definition alone: "wrap12" truncates products toward zero to integers and wraps every sum into
// [-2^11, 2^11). Infinite operands and NaN give NaN.
#include <cmath>
#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>

#include "arithmetic/registry.h"
#include "kernels/cpu/definition_planner.h"

namespace lba {
namespace {

constexpr char kPrefix[] = "wrap";
constexpr size_t kPrefixLength = sizeof kPrefix - 1;

class Wrap : public NothingSaturates {
 public:
  using Constants = double;  // what sums are counted modulo
  using State = double;
  static constexpr bool kHasStarts = true;

  explicit Wrap(double modulus) : modulus_(modulus) {}

  static State Start() { return 0; }
  State StartFrom(float value) const { return Wrapped(std::trunc(static_cast<double>(value))); }
  State Step(State sum, float x, float w) const {
    return Wrapped(sum + Wrapped(std::trunc(static_cast<double>(x) * static_cast<double>(w))));
  }
  State Join(State total, State sum) const { return Wrapped(total + sum); }
  static float Finish(State total) { return static_cast<float>(total + 0.0); }

 private:
  double Wrapped(double value) const {
    const double rest = std::fmod(value, modulus_);  // exact, with the sign of the value
    if (rest >= modulus_ / 2) return rest - modulus_;
    return rest < -modulus_ / 2 ? rest + modulus_ : rest;
  }

  double modulus_;
};

bool Claims(const std::string& text) { return text.compare(0, kPrefixLength, kPrefix) == 0; }

SharedAccumulator Parse(const std::string& text) {
  const int bits = std::atoi(text.c_str() + kPrefixLength);
  if (text != kPrefix + std::to_string(bits) || bits < 2 || bits > 24) {
    throw std::invalid_argument("expected wrap2 to wrap24, got '" + text + "', at character 5 of the spec '" + text +
                                "'");
  }
  return std::make_shared<const DefinedAccumulator<Wrap>>(text, std::ldexp(1.0, bits));
}

const KindRegistration registration({kPrefix, Claims, Parse});

}  // namespace
}  // namespace lba
