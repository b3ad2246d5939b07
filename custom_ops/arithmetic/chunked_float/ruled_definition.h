// The arithmetic of docs/numerics.md for every rounding, with products rounded or exact, and formats with or without
// the codes of IEEE 754; definition.h is the short form of the usual ones. Usable on the host and on a GPU. Needs
// double arithmetic in the default environment.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_DEFINITION_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_DEFINITION_H_

#include <cmath>
#include <cstdint>

#include "arithmetic/chunked_float/definition.h"
#include "arithmetic/chunked_float/spec.h"
#include "common/host_device.h"
#include "common/random_bits.h"

namespace lba {

// A format as the numbers that rounding to it needs.
struct RuledFormat {
  double max_value = 0;
  double smallest = 0;  // smallest magnitude that is kept
  int mantissa_bits = 0;
  int min_exponent = 0;  // smaller values have no finer last bit than those of this exponent
  bool has_infinity = false;
  double overflow = 0;  // what larger magnitudes become: the largest, infinity or NaN

  static RuledFormat Of(const FloatFormat& format, bool underflow) {
    constexpr int kBelowAny = -400;
    if (format.has_subnormals) {
      const double last_bit = std::ldexp(1.0, format.min_exponent() - format.mantissa_bits);
      return {format.max_value(),     last_bit, format.mantissa_bits, format.min_exponent(), format.has_infinity,
              format.overflow_value()};
    }
    const double smallest = underflow ? format.min_value() : std::ldexp(1.0, -126);
    return {format.max_value(),     smallest, format.mantissa_bits, kBelowAny, format.has_infinity,
            format.overflow_value()};
  }

  LBA_HOST_DEVICE bool IsLargest(double value) const {
    return overflow != overflow ? value != value : std::fabs(value) == overflow;
  }
};

struct RuledConstants {
  RuledFormat product, accumulator;
  Rounding rounding = Rounding::kTruncate;
  bool exact_products = false;
  int random_bits = 0;
  uint64_t seed = 0;

  static RuledConstants Of(const AccumulatorSpec& spec) {
    RuledConstants c;
    if (!spec.exact_products) c.product = RuledFormat::Of(spec.product_format, spec.underflow);
    c.accumulator = RuledFormat::Of(spec.accumulator_format, spec.underflow);
    c.rounding = spec.rounding;
    c.exact_products = spec.exact_products;
    c.random_bits = spec.random_bits;
    c.seed = spec.seed;
    return c;
  }
};

// What computes one output, as common/defined_dot.h takes it.
class RuledOutput {
 public:
  LBA_HOST_DEVICE RuledOutput(const RuledConstants& c, const Place& place)
      : c_(c), random_(c.seed, c.random_bits, place) {}

  LBA_HOST_DEVICE double Product(float x, float w, int64_t k) const {
    return Product(static_cast<double>(x) * static_cast<double>(w), k);
  }
  LBA_HOST_DEVICE double Product(double exact, int64_t k) const {
    return c_.exact_products ? exact : Rounded(exact, c_.product, 0, k);
  }
  LBA_HOST_DEVICE bool ProductIsAtMax(float x, float w, int64_t k) const {
    return !c_.exact_products && c_.product.IsLargest(Product(x, w, k));
  }
  LBA_HOST_DEVICE double Step(double sum, float x, float w, int64_t k) const {
    return Join(sum, Product(x, w, k), 1, k);
  }
  LBA_HOST_DEVICE double Join(double total, double sum, int level, int64_t k) const {
    return Rounded(AddToOdd(sum, total), c_.accumulator, level, k);
  }
  LBA_HOST_DEVICE double StartFrom(float value, int level, int64_t k) const {
    return Rounded(value, c_.accumulator, level, k);
  }

 private:
  // Of an x that is exact, or rounded to odd, to 53 bits: as many as no rounding here looks at.
  LBA_HOST_DEVICE double Rounded(double x, const RuledFormat& format, int stream, int64_t step) const {
    if (x != x) return x;
    const double magnitude = std::fabs(x);
    if (magnitude == HUGE_VAL) return std::copysign(format.overflow, x);
    if (magnitude == 0) return format.has_infinity ? x : 0.0;
    const int exponent = static_cast<int>(BitsOf(magnitude) >> 52) - 1023;
    const int last = (exponent < format.min_exponent ? format.min_exponent : exponent) - format.mantissa_bits;
    double result = Whole(magnitude * PowerOfTwo(-last), stream, step) * PowerOfTwo(last);
    if (result < format.smallest) result = 0;
    if (result > format.max_value) result = format.overflow;
    result = std::copysign(result, x);
    return format.has_infinity ? result : result + 0.0;
  }

  LBA_HOST_DEVICE static double PowerOfTwo(int exponent) {
    return FromBits(static_cast<uint64_t>(exponent + 1023) << 52);
  }

  LBA_HOST_DEVICE double Whole(double value, int stream, int64_t step) const {
    const int64_t kept = static_cast<int64_t>(value);
    const double rest = value - static_cast<double>(kept);
    return static_cast<double>(kept + (RoundsUp(kept, rest, stream, step) ? 1 : 0));
  }

  LBA_HOST_DEVICE bool RoundsUp(int64_t kept, double rest, int stream, int64_t step) const {
    switch (c_.rounding) {
      case Rounding::kTruncate:
        return false;
      case Rounding::kNearest:
        return rest > 0.5 || (rest == 0.5 && kept % 2 != 0);
      case Rounding::kNearestAway:
        return rest >= 0.5;
      case Rounding::kOdd:
        return rest > 0 && kept % 2 == 0;
      case Rounding::kStochastic:
        break;
    }
    const uint32_t unit = 1u << c_.random_bits;
    return static_cast<uint32_t>(rest * unit) + random_.Draw(stream, step) >= unit;
  }

  const RuledConstants& c_;
  const RandomBits random_;
};

class RuledDefinition {
 public:
  using Constants = RuledConstants;
  using State = double;
  using Output = RuledOutput;
  static constexpr bool kHasTrees = true, kHasStarts = true, kSaturates = true;

  LBA_HOST_DEVICE explicit RuledDefinition(const Constants& c) : c_(c) {}

  LBA_HOST_DEVICE Output At(const Place& place) const { return RuledOutput(c_, place); }
  LBA_HOST_DEVICE static State Start() { return 0; }
  LBA_HOST_DEVICE float Finish(State total) const {
    return static_cast<float>(c_.accumulator.has_infinity ? total : total + 0.0);
  }
  LBA_HOST_DEVICE bool ProductIsAtMax(float x, float w) const { return At({}).ProductIsAtMax(x, w, 0); }
  LBA_HOST_DEVICE bool IsAtMax(State sum) const { return c_.accumulator.IsLargest(sum); }

 private:
  const Constants& c_;
};

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_DEFINITION_H_
