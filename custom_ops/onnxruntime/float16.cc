#include "onnxruntime/float16.h"

#include <algorithm>
#include <cstring>

#include "kernels/cpu/fp_environment.h"

namespace lba {
namespace {

constexpr uint32_t kSign = 0x80000000;
constexpr uint32_t kInfinity32 = 0x7f800000;
constexpr uint32_t kInfinity16 = 0x7c00;
constexpr uint32_t kQuietNan16 = 0x7e00;
constexpr uint32_t kBiasDifference = 127 - 15;
constexpr uint32_t kDroppedBits = 23 - 10;
constexpr uint32_t kSmallestNormal16 = 0x0400;
constexpr uint32_t kSmallestNormal16As32 = (kBiasDifference + 1) << 23;
constexpr uint32_t kHalfStep = 1u << (kDroppedBits - 1);
constexpr uint32_t kHalf = 0x3f000000;  // 0.5: its unit in the last place is 2^-24, as for float16 subnormals
constexpr uint32_t kRoundsToInfinity = 0x477ff000;  // 65520

uint32_t BitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

float FromBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Without a branch: compilers vectorize no loop in which a floating-point operation is conditional.
uint32_t Select(bool condition, uint32_t if_true, uint32_t if_false) {
  const uint32_t mask = 0u - static_cast<uint32_t>(condition);
  return (if_true & mask) | (if_false & ~mask);
}

float ToFloat32(uint16_t half) {
  const uint32_t magnitude = half & 0x7fffu;
  const uint32_t exponent_shift = magnitude < kInfinity16 ? kBiasDifference : 255 - 31;
  const uint32_t normal = (magnitude << kDroppedBits) + (exponent_shift << 23);
  const uint32_t subnormal = BitsOf(FromBits(kHalf | magnitude) - 0.5f);
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  return FromBits(sign | Select(magnitude < kSmallestNormal16, subnormal, normal));
}

uint16_t ToFloat16(float value) {
  const uint32_t bits = BitsOf(value);
  const uint32_t magnitude = bits & ~kSign;
  const uint32_t subnormal = BitsOf(FromBits(std::min(magnitude, kSmallestNormal16As32)) + 0.5f) - kHalf;
  const uint32_t is_odd = (magnitude >> kDroppedBits) & 1;
  const uint32_t rounded = magnitude + (kHalfStep - 1) + is_odd;
  uint32_t half = (rounded >> kDroppedBits) - (kBiasDifference << 10);
  half = Select(magnitude < kSmallestNormal16As32, subnormal, half);
  half = Select(magnitude >= kRoundsToInfinity, kInfinity16, half);
  half = Select(magnitude > kInfinity32, kQuietNan16, half);
  return static_cast<uint16_t>((bits & kSign) >> 16 | half);
}

// Not inlined, so that nothing moves out of the scope that sets the rounding mode.
__attribute__((noinline)) void ToFloat32s(const uint16_t* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = ToFloat32(from[i]);
}

__attribute__((noinline)) void ToFloat16s(const float* from, int64_t count, uint16_t* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = ToFloat16(from[i]);
}

}  // namespace

void Float16ToFloat32(const uint16_t* from, int64_t count, float* to) {
  const FpScope nearest(FpMode::kNearest);
  ToFloat32s(from, count, to);
}

void Float32ToFloat16(const float* from, int64_t count, uint16_t* to) {
  const FpScope nearest(FpMode::kNearest);
  ToFloat16s(from, count, to);
}

}  // namespace lba
