// The emulation's device instructions against exact expectations.
#include <cmath>
#include <limits>
#include <random>

#include "arithmetic/chunked_float/definition.h"
#include "kernels/cpu/cpu_features.h"
#include "kernels/cuda/instructions.h"
#include "onnxruntime/float16.h"
#include "tests/check.h"

namespace lba::cuda {
namespace {

constexpr float kSmallest = 0x1p-126f, kSubnormal = 0x1p-140f;
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

void CheckBits(float got, float expected, const char* what) {
  CHECK(__float_as_uint(got) == __float_as_uint(expected), "%s: expected %a, got %a", what,
        static_cast<double>(expected), static_cast<double>(got));
}

void CheckFlushing() {
  CheckBits(MultiplyTruncated(0x1p-63f, 0x1p-63f), kSmallest, "the smallest normal product");
  CheckBits(MultiplyTruncated(-0x1p-63f, 0x1.fffffep-64f), -0.0f, "a subnormal product");
  CheckBits(MultiplyTruncated(kSubnormal, 0x1p100f), 0.0f, "a subnormal operand");
  CheckBits(AddTruncated(1.5f * kSmallest, -kSmallest), 0.0f, "a subnormal sum");
  CheckBits(AddTruncated(kSubnormal, 1.0f), 1.0f, "a subnormal addend");
  CheckBits(AddTruncated(-kSubnormal, 1.0f), 1.0f, "a flushed addend does not truncate");
  CheckBits(MultiplyAddTruncated(0x1p-70f, 0x1p-70f, kSmallest), 0x1.0004p-126f,
            "the product of an FMA is not flushed");
  CheckBits(MultiplyAddTruncated(-0x1p-70f, 0x1p-70f, 0x1.000002p-100f), 0x1p-100f, "nor lost");
  CheckBits(MultiplyAddTruncated(1.0f, 1.5f * kSmallest, -kSmallest), 0.0f, "a subnormal result of an FMA");
  CheckBits(MultiplyAddTruncated(1.0f, 1.0f, kSubnormal), 1.0f, "a subnormal addend of an FMA");
  CheckBits(MultiplyTowardZero(0x1p-70f, 0x1.8p-70f), 0x1.8p-140f, "a kept subnormal product");
  CheckBits(MultiplyTowardZero(kSubnormal, 0x1p100f), 0x1p-40f, "a kept subnormal operand");
  CheckBits(AddTowardZero(1.5f * kSmallest, -kSmallest), 0.5f * kSmallest, "a kept subnormal sum");
}

void CheckTruncation() {
  CheckBits(MultiplyTruncated(kLargest, 2.0f), kLargest, "an overflowing product");
  CheckBits(AddTruncated(-kLargest, -kLargest), -kLargest, "an overflowing sum");
  CheckBits(MultiplyAddTruncated(kLargest, kLargest, 1.0f), kLargest, "an overflowing FMA");
  CheckBits(MultiplyTruncated(kInfinity, -2.0f), -kInfinity, "an infinite product");
  CheckBits(AddTruncated(1.0f, -0x1p-100f), 0x1.fffffep-1f, "a tiny addend of opposite sign");
  CheckBits(AddTruncated(1.0f, 0x1.fffffep-24f), 1.0f, "an addend below the last bit");
  CheckBits(AddTruncated(1.0f, -1.0f), 0.0f, "a cancelled sum");
  CheckBits(AddTowardZero(-1.0f, 0x1p-149f), -0x1.fffffep-1f, "the tiniest addend");
  CheckBits(MultiplyTruncated(kInfinity, 0.0f), __uint_as_float(0x7fffffff), "NaN");
  CheckBits(MultiplyAddTruncated(-NAN, 1.0f, 1.0f), __uint_as_float(0x7fffffff), "NaN is one NaN");
}

void CheckNearest() {
  CheckBits(MultiplyNearest(-0x1p-63f, 0x1p-64f), -0.0f, "a subnormal product to nearest");
  CheckBits(MultiplyNearest(kSubnormal, 0x1p100f), 0.0f, "a subnormal operand");
  CheckBits(AddNearest(1.5f * kSmallest, -kSmallest), 0.0f, "a subnormal sum to nearest");
  CheckBits(MultiplyAddNearest(1.0f, 1.0f, kSubnormal), 1.0f, "a subnormal addend of an FMA to nearest");
  CheckBits(AddNearest(1.0f, 0x1p-24f), 1.0f, "a tie to even");
  CheckBits(AddNearest(1.0f, 0x1.000002p-24f), 0x1.000002p0f, "beside a tie");
  CheckBits(AddNearest(0x1.000002p0f, 0x1p-24f), 0x1.000004p0f, "a tie from odd");
  CheckBits(MultiplyAddNearest(0x1p-70f, 0x1p-70f, 0x1.000002p0f), 0x1.000002p0f, "what is lost to nearest");
  CheckBits(AddNearest(kLargest, kLargest), kInfinity, "an overflowing sum to nearest");
}

// Exact in double: products of 24 bits, and sums of exponents that are not far apart.
void CheckRandomArithmetic() {
  std::mt19937 random(1);
  const auto draw = [&random](int exponent) {
    const float mantissa = static_cast<float>(static_cast<int32_t>(random()) >> 7);
    return std::ldexp(mantissa, exponent - 24);
  };
  const auto truncated = [](double value) {
    const float nearest = static_cast<float>(value);
    return std::fabs(nearest) > std::fabs(value) ? std::nextafter(nearest, 0.0f) : nearest;
  };
  for (int i = 0; i < 100000; ++i) {
    const float a = draw(0), b = draw(static_cast<int>(random() % 8)), c = draw(static_cast<int>(random() % 20) - 10);
    const double product = static_cast<double>(a) * static_cast<double>(b);
    CheckBits(MultiplyTruncated(a, b), truncated(product), "a product");
    CheckBits(AddTruncated(a, b), truncated(static_cast<double>(a) + static_cast<double>(b)) + 0.0f, "a sum");
    const double sum = lba::AddToOdd(product, static_cast<double>(c));
    CheckBits(MultiplyAddTruncated(a, b, c), truncated(sum) + 0.0f, "an FMA");
    CheckBits(MultiplyNearest(a, b), static_cast<float>(product), "a product to nearest");
    CheckBits(AddNearest(a, b), a + b, "a sum to nearest");
    CheckBits(MultiplyAddNearest(a, b, c), static_cast<float>(sum) + 0.0f, "an FMA to nearest");
  }
}

void CheckSaturation() {
  const uint32_t kept = 0x7fff0000u;                  // 7 mantissa bits
  const float largest = __uint_as_float(0x41ffffff);  // 31.875 and the dropped bits
  CheckBits(SaturateAndKeep(3.14159f, largest, kept), 0x1.92p1f, "a value inside");
  CheckBits(SaturateAndKeep(-3.14159f, largest, kept), -0x1.92p1f, "a negative value inside");
  CheckBits(SaturateAndKeep(31.9f, largest, kept), 31.875f, "a value that truncates to the largest");
  CheckBits(SaturateAndKeep(-32.0f, largest, kept), -31.875f, "a value past the largest");
  CheckBits(SaturateAndKeep(kInfinity, largest, kept), 31.875f, "infinity");
  CheckBits(SaturateAndKeep(-0.0f, largest, kept), -0.0f, "zero");
  CheckBits(KeepBits(-3.14159f, 0xffff0000u), -0x1.92p1f, "a mask with the sign");
}

void CheckHalfs() {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    float expected;
    Float16ToFloat32(&half, 1, &expected);
    if (std::isnan(expected)) {
      CHECK(std::isnan(HalfToFloat(half)) && std::isnan(HalfToFloat(FloatToHalf(expected))), "%04x", bits);
      continue;
    }
    CheckBits(HalfToFloat(half), expected, "a half");
    for (const float value : {expected, std::nextafter(expected, kInfinity), expected * 1.00048828125f}) {
      uint16_t rounded;
      Float32ToFloat16(&value, 1, &rounded);
      CHECK(FloatToHalf(value) == rounded, "%a", static_cast<double>(value));
    }
  }
}

}  // namespace
}  // namespace lba::cuda

int main() {
  using namespace lba::cuda;
  if (!lba::ThisCpu().avx2) {
    std::printf("skipped: this processor has no AVX2 with fused multiply-add and float16 conversions\n");
    return 0;
  }
  CheckFlushing();
  CheckTruncation();
  CheckNearest();
  CheckRandomArithmetic();
  CheckSaturation();
  CheckHalfs();
}
