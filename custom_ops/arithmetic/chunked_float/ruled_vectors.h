// Vectors of double for ruled_arithmetic.h, of any length that the target has registers for. Include it only from files
// that are compiled for one instruction set.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_VECTORS_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_VECTORS_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "arithmetic/chunked_float/ruled_definition.h"

namespace lba {
namespace {  // each instruction set has its own copy

// GCC does not convert vectors whose length is an argument of a template.
template <int kLanes>
struct VectorTypes;
template <>
struct VectorTypes<2> {
  typedef double V __attribute__((vector_size(16)));
  typedef int64_t Bits __attribute__((vector_size(16)));
  typedef float Floats __attribute__((vector_size(8)));
  typedef uint32_t Words __attribute__((vector_size(8)));
};
template <>
struct VectorTypes<4> {
  typedef double V __attribute__((vector_size(32)));
  typedef int64_t Bits __attribute__((vector_size(32)));
  typedef float Floats __attribute__((vector_size(16)));
  typedef uint32_t Words __attribute__((vector_size(16)));
};
template <>
struct VectorTypes<8> {
  typedef double V __attribute__((vector_size(64)));
  typedef int64_t Bits __attribute__((vector_size(64)));
  typedef float Floats __attribute__((vector_size(32)));
  typedef uint32_t Words __attribute__((vector_size(32)));
};

template <int kLanes>
struct DoublesOf {
  using V = typename VectorTypes<kLanes>::V;
  using Bits = typename VectorTypes<kLanes>::Bits;
  using Floats = typename VectorTypes<kLanes>::Floats;

  static V Set(double value) { return value - V{}; }
  static V Load(const float* p) {
    Floats values;
    std::memcpy(&values, p, sizeof values);
    return __builtin_convertvector(values, V);
  }
  static void Store(float* p, V value) {
    const Floats values = __builtin_convertvector(value, Floats);
    std::memcpy(p, &values, sizeof values);
  }
  static Bits BitsOf(V value) { return reinterpret_cast<Bits>(value); }
  static V Where(Bits condition, V yes, V no) {
    return reinterpret_cast<V>((condition & BitsOf(yes)) | (~condition & BitsOf(no)));
  }
  static V SignOf(V value) { return reinterpret_cast<V>(BitsOf(value) & INT64_MIN); }
  static V Magnitude(V value) { return reinterpret_cast<V>(BitsOf(value) & INT64_MAX); }
  static V WithSign(V magnitude, V sign) { return reinterpret_cast<V>(BitsOf(magnitude) | BitsOf(sign)); }

  // As AddToOdd of definition.h; an error of NaN is none.
  static V AddToOdd(V a, V b) {
    const V sum = a + b, part = sum - a;
    const V error = (a - (sum - part)) + (b - part);
    const Bits is_inexact = (error < V{}) | (error > V{});
    const Bits is_away = (BitsOf(error) ^ BitsOf(sum)) < Bits{};
    return reinterpret_cast<V>((BitsOf(sum) + (is_away & is_inexact)) | (is_inexact & 1));
  }
};

// What rounding to a format asks besides the rule: the unit of the last place, and its limits.
template <int kLanes>
class RuledLimits {
 public:
  using D = DoublesOf<kLanes>;
  using V = typename D::V;

  explicit RuledLimits(const RuledFormat& format)
      : max_(D::Set(format.max_value)),
        smallest_(D::Set(format.smallest)),
        overflow_(D::Set(format.overflow)),
        zero_(D::Set(format.has_infinity ? -0.0 : 0.0)),
        least_power_(D::Set(std::ldexp(1.0, std::max(format.min_exponent, kLeastExponent)))),
        last_place_(D::Set(std::ldexp(1.0, -format.mantissa_bits))) {}

  // Infinity as a number that is above any format.
  V Bounded(V magnitude) const { return D::Where(magnitude > Most(), Most(), magnitude); }
  V Unit(V magnitude) const {
    const V power = reinterpret_cast<V>(D::BitsOf(magnitude) & int64_t{0x7ff0000000000000});
    return D::Where(power < least_power_, least_power_, power) * last_place_;
  }
  // The value of a rounded magnitude; adding zero_ keeps the sign of zero, or drops it.
  V Limited(V rounded, V sign) const {
    const V kept = reinterpret_cast<V>(D::BitsOf(rounded) & ~(rounded < smallest_));
    return D::WithSign(D::Where(kept > max_, overflow_, kept), sign) + zero_;
  }

 private:
  static constexpr int kLeastExponent = -400;  // below every product of two float32 values
  static V Most() { return D::Set(0x1p400); }

  V max_, smallest_, overflow_, zero_, least_power_, last_place_;
};

// A magnitude to a multiple of a unit that is at most 2^52 times smaller: to the nearest, ties to even, by the last
// place of a larger number; and toward zero.
template <class V>
V NearestMultiple(V magnitude, V unit) {
  const V large = unit * 0x1p52;
  return (magnitude + large) - large;
}
template <int kLanes>
typename DoublesOf<kLanes>::V LowerMultiple(typename DoublesOf<kLanes>::V magnitude,
                                            typename DoublesOf<kLanes>::V unit) {
  using D = DoublesOf<kLanes>;
  const typename D::V nearest = NearestMultiple(magnitude, unit);
  return nearest - reinterpret_cast<typename D::V>(D::BitsOf(unit) & (nearest > magnitude));
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_VECTORS_H_
