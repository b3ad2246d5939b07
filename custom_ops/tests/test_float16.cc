// float16 conversion against its definition, for every float16 and around every rounding boundary, in every rounding
// mode of the calling thread.
#include <cfenv>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>

#include "onnxruntime/float16.h"
#include "tests/check.h"

namespace lba {
namespace {

constexpr uint16_t kInfinity = 0x7c00;

float Widen(uint16_t half) {
  float value;
  Float16ToFloat32(&half, 1, &value);
  return value;
}

uint16_t Narrow(float value) {
  uint16_t half;
  Float32ToFloat16(&value, 1, &half);
  return half;
}

// The definition of a finite float16.
double ValueOf(uint16_t half) {
  const int exponent = half >> 10 & 0x1f, mantissa = half & 0x3ff;
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return (half & 0x8000) != 0 ? -magnitude : magnitude;
}

void CheckWidening() {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits), magnitude = half & 0x7fff;
    const float value = Widen(half);
    if (magnitude > kInfinity) {
      CHECK(std::isnan(value), "%04x", bits);
    } else if (magnitude == kInfinity) {
      CHECK(std::isinf(value) && std::signbit(value) == (half >> 15), "%04x", bits);
    } else {
      CHECK(value == ValueOf(half) && std::signbit(value) == (half >> 15), "%04x", bits);
    }
    if (magnitude <= kInfinity) CHECK(Narrow(value) == half, "%04x", bits);
  }
}

// Between neighbours low and low + 1 the midpoint goes to the even one, all else to the nearer one.
void CheckRounding() {
  for (uint16_t low = 0; low < kInfinity; ++low) {
    const uint16_t high = low + 1, even = low % 2 == 0 ? low : high;
    const double upper = high == kInfinity ? 65536.0 : ValueOf(high);
    const float middle = static_cast<float>((ValueOf(low) + upper) / 2);
    CHECK(Narrow(middle) == even, "%04x", low);
    CHECK(Narrow(-middle) == (even | 0x8000), "%04x", low);
    CHECK(Narrow(std::nextafter(middle, 0.0f)) == low, "%04x", low);
    CHECK(Narrow(std::nextafter(middle, 1e9f)) == high, "%04x", low);
  }
}

void CheckExtremes() {
  using Limits = std::numeric_limits<float>;
  CHECK(Narrow(Limits::max()) == kInfinity && Narrow(-Limits::infinity()) == (kInfinity | 0x8000), "overflow");
  CHECK(Narrow(Limits::denorm_min()) == 0 && Narrow(-Limits::denorm_min()) == 0x8000, "underflow");
  CHECK((Narrow(Limits::quiet_NaN()) & 0x7fff) > kInfinity, "NaN");
}

}  // namespace
}  // namespace lba

int main() {
  for (const int mode : {FE_TONEAREST, FE_TOWARDZERO, FE_UPWARD, FE_DOWNWARD}) {
    std::fesetround(mode);
    lba::CheckWidening();
    lba::CheckRounding();
    lba::CheckExtremes();
  }
  return 0;
}
