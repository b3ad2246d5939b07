// Rounding to nearest on every CPU path against exact integers (fixed_point.h), on operands made for ties and for the
// edges of formats. Three wrong models must differ somewhere: the operands would tell.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "arithmetic/chunked_float/statistics_chain.h"
#include "lba/matmul.h"
#include "lba/statistics.h"
#include "tests/accumulators.h"
#include "tests/check.h"
#include "tests/fixed_point.h"
#include "tests/paths.h"

namespace lba {
namespace {

using Random = std::mt19937;
using Values = std::vector<float>;
constexpr std::array<Model, 3> kWrongModels{Model::kTruncate, Model::kTiesAway, Model::kFlushFirst};

int Draw(Random& random, int low, int high) {
  return low + static_cast<int>(random() % static_cast<uint32_t>(high - low + 1));
}

FloatFormat DrawFormat(Random& random, int mantissa_bits) {
  const int exponent_bits = Draw(random, 1, 7);
  return {mantissa_bits, exponent_bits, Draw(random, (1 << exponent_bits) - 128, 126)};
}

AccumulatorSpec DrawSpec(Random& random) {
  AccumulatorSpec spec;
  spec.rounding = Rounding::kNearest;
  spec.chunk_size = Draw(random, 0, 20);
  spec.underflow = Draw(random, 0, 7) != 0;
  const int mantissa_bits = Draw(random, 0, 3) == 0 ? Draw(random, 0, 22) : Draw(random, 0, 10);
  if (Draw(random, 0, 5) == 0) {  // any formats
    spec.product_format = DrawFormat(random, Draw(random, 0, 22));
    spec.accumulator_format = DrawFormat(random, mantissa_bits);
  } else {  // the usual neighbourhood: products reach below and above sums
    const int bias = Draw(random, -4, 14);
    spec.product_format = {Draw(random, 0, 3) == 0 ? mantissa_bits / 2 : mantissa_bits, Draw(random, 3, 5), bias};
    spec.accumulator_format = {mantissa_bits, Draw(random, 3, 5), bias + Draw(random, -4, 1)};
  }
  CHECK(CheckSpec(spec).empty(), "%s", CheckSpec(spec).c_str());
  return spec;
}

float DrawSign(Random& random) { return Draw(random, 0, 1) != 0 ? 1.0f : -1.0f; }

// A value of one bit more than a format keeps, so halfway between two of its values half of the time, or beside one.
float DrawTie(Random& random, int mantissa_bits, int exponent) {
  const int bits = mantissa_bits + 1;
  const float mantissa = 1 + std::ldexp(static_cast<float>(Draw(random, 0, (1 << bits) - 1)), -bits);
  const float beside = Draw(random, 0, 2) == 0 ? std::nextafter(mantissa, Draw(random, 0, 3)) : mantissa;
  return DrawSign(random) * std::ldexp(beside, exponent);
}

// The largest mantissas, which round up to the next power of two, and the smallest.
float DrawEdge(Random& random, int mantissa_bits, int exponent) {
  const float last = std::ldexp(1.0f, -Draw(random, mantissa_bits, mantissa_bits + 3));
  return DrawSign(random) * std::ldexp(Draw(random, 0, 3) == 0 ? 1 + last : 2 - last, exponent);
}

// One of a case's operands, the exponents of their products around what it is about: the smallest values of one of the
// formats, the largest, or anything between.
class OperandDrawer {
 public:
  OperandDrawer(Random& random, const AccumulatorSpec& spec) : random_(random), spec_(spec) {
    const FloatFormat& format = Draw(random, 0, 1) != 0 ? spec.product_format : spec.accumulator_format;
    const int place = Draw(random, 0, 3);
    center_ = place == 0   ? format.max_exponent()
              : place == 1 ? Draw(random, -format.exponent_bias, format.max_exponent())
                           : -format.exponent_bias;
    is_short_ = Draw(random, 0, 2) == 0;
    spread_ = Draw(random, 0, 2) == 0 ? Draw(random, 0, 20) : Draw(random, 0, 2);
    split_ = std::clamp(center_ / 2 + Draw(random, -3, 3), -120, 120);
  }

  float Moving() const { return Value(split_); }
  // Powers of two leave a tie a tie.
  float Fixed() const {
    if (Draw(random_, 0, 2) != 0) return DrawSign(random_) * std::ldexp(1.0f, Clamped(center_ - split_));
    return Value(center_ - split_);
  }

 private:
  int Clamped(int exponent) const { return std::clamp(exponent + Draw(random_, -spread_, spread_), -140, 126); }

  float Value(int exponent) const {
    const int bits =
        Draw(random_, 0, 1) != 0 ? spec_.product_format.mantissa_bits : spec_.accumulator_format.mantissa_bits;
    const int kind = Draw(random_, 0, 40);
    if (kind == 0) return 0;
    if (kind == 1) return std::ldexp(DrawSign(random_), -149 + Draw(random_, 0, 25));
    if (is_short_) return DrawSign(random_) * std::ldexp(1 + Draw(random_, 0, 3) / 4.0f, Clamped(exponent));
    if (kind < 20) return DrawTie(random_, std::min(bits, 21), Clamped(exponent));
    if (kind < 30) return DrawEdge(random_, bits, Clamped(exponent));
    return std::ldexp(static_cast<float>(Draw(random_, -(1 << 24), 1 << 24)), Clamped(exponent) - 24);
  }

  Random& random_;
  const AccumulatorSpec& spec_;
  int center_, spread_, split_;
  bool is_short_;
};

// Operands are finite here.
float Dot(const AccumulatorSpec& spec, const Values& x, const Values& w, Model model) {
  const int64_t depth = static_cast<int64_t>(x.size()), chunk = spec.Order(depth).chunk();
  Fixed total;
  for (int64_t begin = 0; begin < depth; begin += chunk) {
    Fixed sum;
    for (int64_t k = begin; k < std::min(begin + chunk, depth); ++k) {
      const Fixed product = Fixed::Product(x[k], w[k]).Quantized(spec.product_format, spec.underflow, model);
      sum = (product + sum).Quantized(spec.accumulator_format, spec.underflow, model);
    }
    total = (total + sum).Quantized(spec.accumulator_format, spec.underflow, model);
  }
  return total.ToFloat();
}

Values Product(const AccumulatorSpec& spec, int rows, int depth, int columns, const Values& a, const Values& b,
               StatisticsCollector* collector = nullptr) {
  MatMulShape shape;
  shape.rows = rows;
  shape.columns = columns;
  shape.depth = depth;
  shape.a_offsets = shape.b_offsets = {0};
  shape.a_row_stride = depth;
  shape.b_depth_stride = columns;
  Values y(rows * columns, 77.0f);
  MatMul(*Made(spec), shape, a.data(), b.data(), nullptr, y.data(), SerialParallel(), collector);
  return y;
}

struct Case {
  AccumulatorSpec spec;
  int rows, columns, depth;
  Values a, b;

  explicit Case(Random& random)
      : spec(DrawSpec(random)),
        rows(Draw(random, 1, 10)),
        columns(Draw(random, 1, 3) == 1 ? Draw(random, 1, 40) : Draw(random, 28, 33)),
        depth(Draw(random, 1, 24)),
        a(rows * depth),
        b(depth * columns) {
    const OperandDrawer drawer(random, spec);
    for (float& value : a) value = drawer.Moving();
    for (float& value : b) value = drawer.Fixed();
  }

  Values Computed() const { return Product(spec, rows, depth, columns, a, b); }

  // The operands of an output.
  Values Row(size_t output) const {
    const float* row = a.data() + output / columns * depth;
    return Values(row, row + depth);
  }
  Values Column(size_t output) const {
    Values w(depth);
    for (int k = 0; k < depth; ++k) w[k] = b[k * columns + output % columns];
    return w;
  }

  float Expected(size_t output, Model model) const { return Dot(spec, Row(output), Column(output), model); }
};

// How many outputs each of the wrong models gets wrong.
using Caught = std::array<int, kWrongModels.size()>;

void CheckCase(uint32_t seed, Caught* caught) {
  Random random(seed);
  const Case drawn(random);
  Values expected(drawn.rows * drawn.columns);
  for (size_t i = 0; i < expected.size(); ++i) {
    expected[i] = drawn.Expected(i, Model::kNearest);
    if (i % 8 != 0) continue;
    for (size_t m = 0; m < kWrongModels.size(); ++m) (*caught)[m] += expected[i] != drawn.Expected(i, kWrongModels[m]);
  }
  ForEachPath([&](CpuPath path) {
    const Values y = drawn.Computed();
    for (size_t i = 0; i < y.size(); ++i) {
      CHECK(y[i] == expected[i], "%s, seed %u, %s, output %zu: expected %a, got %a", CpuPathName(path), seed,
            TextOf(drawn.spec).c_str(), i, static_cast<double>(expected[i]), static_cast<double>(y[i]));
    }
  });
}

// Counts one value that was rounded: a product, or the sum of `before` and an addend.
void Count(const Fixed& exact, const Fixed& after, const FloatFormat& format, LbaLevel* level) {
  ++level->values;
  level->events[kOverflow] += after.IsLargest(format);
  level->events[kUnderflow] += !exact.IsZero() && after.IsZero();
}

Fixed CountedSum(const Fixed& addend, const Fixed& before, const AccumulatorSpec& spec, LbaLevel* level) {
  const FloatFormat& format = spec.accumulator_format;
  const Fixed after = (addend + before).Quantized(format, spec.underflow, Model::kNearest);
  Count(addend + before, after, format, level);
  level->events[kSwamped] += !addend.IsZero() && after == before && !after.IsLargest(format);
  return after;
}

void CountDot(const AccumulatorSpec& spec, const Values& x, const Values& w, Counts* counts) {
  const int64_t depth = static_cast<int64_t>(x.size()), chunk = spec.Order(depth).chunk();
  Fixed total;
  for (int64_t begin = 0; begin < depth; begin += chunk) {
    Fixed sum;
    for (int64_t k = begin; k < std::min(begin + chunk, depth); ++k) {
      const Fixed exact = Fixed::Product(x[k], w[k]);
      const Fixed product = exact.Quantized(spec.product_format, spec.underflow, Model::kNearest);
      Count(exact, product, spec.product_format, &counts->levels[0]);
      sum = CountedSum(product, sum, spec, &counts->levels[1]);
    }
    total = CountedSum(sum, total, spec, &counts->levels[2]);
  }
}

bool IsSame(const LbaLevel& a, const LbaLevel& b) {
  return a.values == b.values && std::equal(a.events, a.events + LBA_LEVEL_EVENTS, b.events);
}

// The statistics' events are those of the same definition.
void CheckStatistics(uint32_t seed) {
  Random random(seed);
  const Case drawn(random);
  StatisticsCollector collector("run/node", {});
  Product(drawn.spec, drawn.rows, drawn.depth, drawn.columns, drawn.a, drawn.b, &collector);
  Counts expected(3);
  for (int i = 0; i < drawn.rows * drawn.columns; ++i) {
    CountDot(drawn.spec, drawn.Row(i), drawn.Column(i), &expected);
  }
  const Counts got = collector.Read();
  CHECK(got.levels.size() == 3, "seed %u: %zu levels", seed, got.levels.size());
  for (size_t level = 0; level < 3; ++level) {
    CHECK(IsSame(got.levels[level], expected.levels[level]), "seed %u: events of level %zu", seed, level);
  }
}

// A weight just below float32's smallest normal value once scaled, and a row just below the largest that fits: the
// processor takes the weight for zero, but their product rounds up to min_value.
void CheckFlushedOperand(CpuPath path) {
  AccumulatorSpec spec;
  spec.product_format = spec.accumulator_format = {7, 4, 10};
  spec.rounding = Rounding::kNearest;
  for (int exponent = 40; exponent < 80; ++exponent) {
    const float below = 1 - 0x1p-24f, x = std::ldexp(below, exponent), w = std::ldexp(below, -10 - exponent);
    const Values b{w, 1.5f};  // the second decides how the weights are scaled
    const Values y = Product(spec, 1, 1, 2, {x}, b);
    CHECK(y[0] == 0x1p-10f, "%s, 2^%d: expected min_value, got %a", CpuPathName(path), exponent,
          static_cast<double>(y[0]));
  }
}

void CheckDot(const std::string& text, const Values& x, const Values& w, float expected, CpuPath path) {
  const AccumulatorSpec spec = ParseSpec(text);
  CHECK(Dot(spec, x, w, Model::kNearest) == expected, "%s: the model disagrees", text.c_str());
  const Values y = Product(spec, 1, static_cast<int>(x.size()), 1, x, w);
  CHECK(y[0] == expected, "%s, %s: expected %a, got %a", CpuPathName(path), text.c_str(), static_cast<double>(expected),
        static_cast<double>(y[0]));
}

// Sums that short cuts taken too far get wrong.
void CheckSums(CpuPath path) {
  // Halfway between min_value and what is next to it below, in its last bit but for the smaller products.
  CheckDot("M7E4b12/M7E4b10,round=nearest", {0x1.4p-10f, -0x1.02p-12f}, {1, 1}, 0x1p-10f, path);
  // Just below halfway, which 24 bits cannot tell from halfway.
  CheckDot("M11E5b14/M11E5b14,round=nearest", {0x1.002p0f, 0x1.ffep-13f}, {1, 1}, 0x1.002p0f, path);
  // Just above halfway, which 53 bits cannot tell from halfway: a product may have more bits than the accumulator.
  CheckDot("M22E7b64/M3E7b64,round=nearest", {0x1p-60f, 0x1.1p0f}, {1, 1}, 0x1.2p0f, path);
  // Each addition rounds up; the eighth passes max_value, which the magnitudes alone do not reach.
  Values x(10, 0.53125f), w(10, 0.53125f);
  x[0] = w[0] = 2;
  w[9] = -w[9];
  CheckDot("M3E3b5/M3E3b5,round=nearest", x, w, 7, path);
  // The power of two of a sum of zero, where sums are rescaled by more and more.
  for (int bias = 12; bias < 30; ++bias) {
    const std::string text = "M10E5b30/M10E5b" + std::to_string(bias) + ",round=nearest";
    CheckDot(text, {0, 1.5f, -1.5f, 0, 1.5f, 0x1p-12f}, {1, 1, 1, 0, 1, 1}, 1.5f, path);
  }
}

}  // namespace
}  // namespace lba

int main(int argc, char** argv) {
  using namespace lba;
  const uint32_t first = argc > 1 ? static_cast<uint32_t>(std::stoul(argv[1])) : 0;
  constexpr uint32_t kSeeds = 600;
  Caught caught{};
  for (uint32_t seed = first; seed < first + kSeeds; ++seed) CheckCase(seed, &caught);
  for (const int count : caught) CHECK(count > 0, "no operand tells a wrong rounding");
  std::printf("wrong models differ in %d, %d, %d outputs\n", caught[0], caught[1], caught[2]);
  ForEachPath([](CpuPath path) {
    CHECK(TilesCounted(path) > 0, "%s computed nothing", CpuPathName(path));
    std::printf("%s: %u products\n", CpuPathName(path), kSeeds);
    CheckFlushedOperand(path);
    CheckSums(path);
  });
  for (uint32_t seed = first; seed < first + kSeeds / 4; ++seed) CheckStatistics(seed);
}
