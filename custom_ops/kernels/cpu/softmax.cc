#include "kernels/cpu/softmax.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace lba {
namespace {

constexpr double kLeast = -200;  // whose exponential is 0 in float32
constexpr double kLog2E = 0x1.71547652b82fep+0;
constexpr double kLn2High = 0x1.62e42fefap-1, kLn2Low = 0x1.cf79abc9e3b3ap-40;
constexpr double kRounder = 0x1.8p52;  // added and subtracted, it rounds to an integer
constexpr int kTerms = 10;
constexpr double kInverseFactorials[kTerms + 1] = {
    1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 1.0 / 2, 1.0, 1.0};
constexpr uint64_t kExponentBias = 1023;
constexpr int kMantissaBits = 52;
constexpr double kSmall = 0x1p-12;  // below it tanh(x) is x - x^3 / 3

// e^x of x up to 0. Without a branch, so that loops are vectorized.
inline double Exponential(double x) {
  const double bounded = x < kLeast ? kLeast : x;
  const double rounded = bounded * kLog2E + kRounder;
  const double k = rounded - kRounder;
  const double r = (bounded - k * kLn2High) - k * kLn2Low;
  double power = kInverseFactorials[0];
  for (int i = 1; i <= kTerms; ++i) power = power * r + kInverseFactorials[i];
  uint64_t bits;
  std::memcpy(&bits, &rounded, sizeof bits);
  bits = (bits + kExponentBias) << kMantissaBits;  // 2^k: the low bits of `rounded` are k
  double scale;
  std::memcpy(&scale, &bits, sizeof scale);
  return power * scale;
}

float Capped(float score, float cap) {
  const double x = score / cap;
  const double size = std::abs(x);
  const double decay = Exponential(-2.0 * size);
  const double tangent = size < kSmall ? x - x * x * x / 3.0 : std::copysign((1.0 - decay) / (1.0 + decay), x);
  return static_cast<float>(tangent) * cap;
}

// The largest score, or NaN where one is NaN.
float Largest(const float* scores, int64_t count, float sink) {
  float largest = sink;
  bool has_nan = sink != sink;
  for (int64_t i = 0; i < count; ++i) {
    largest = scores[i] > largest ? scores[i] : largest;
    has_nan |= scores[i] != scores[i];
  }
  return has_nan ? std::numeric_limits<float>::quiet_NaN() : largest;
}

float Sum(const float* powers, int64_t count, int64_t first_key) {
  float lanes[kSumLanes] = {};
  int64_t i = 0;
  for (int64_t lane = first_key % kSumLanes; lane != 0 && lane < kSumLanes && i < count; ++lane) {
    lanes[lane] += powers[i++];
  }
  for (; i + kSumLanes <= count; i += kSumLanes) {
    for (int64_t lane = 0; lane < kSumLanes; ++lane) lanes[lane] += powers[i + lane];
  }
  for (int64_t lane = 0; i < count; ++lane) lanes[lane] += powers[i++];
  for (int64_t half = kSumLanes / 2; half > 0; half /= 2) {
    for (int64_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  return lanes[0];
}

}  // namespace

void ScaleScores(float* scores, int64_t count, float scale) {
  for (int64_t i = 0; i < count; ++i) scores[i] *= scale;
}

void CapScores(float* scores, int64_t count, float cap) {
  for (int64_t i = 0; i < count; ++i) scores[i] = Capped(scores[i], cap);
}

void AddBias(float* scores, int64_t count, const float* bias, int64_t stride) {
  for (int64_t i = 0; i < count; ++i) scores[i] += bias[i * stride];
}

void Softmax(float* scores, int64_t count, int64_t first_key, float sink) {
  const float largest = Largest(scores, count, sink);
  if (largest == -std::numeric_limits<float>::infinity()) return std::fill(scores, scores + count, 0.0f);
  for (int64_t i = 0; i < count; ++i) {
    const float below = scores[i] - largest;
    scores[i] = static_cast<float>(Exponential(below));
  }
  const float rest = sink - largest;
  const float total = Sum(scores, count, first_key) + static_cast<float>(Exponential(rest));
  for (int64_t i = 0; i < count; ++i) scores[i] /= total;
}

}  // namespace lba
