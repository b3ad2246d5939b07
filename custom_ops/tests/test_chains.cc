// The kernels of IEEE formats, of exact products and of stochastic rounding against their definition, one value at a
// time, on every CPU path: hostile operands, all tiles, chunks and levels; bits, the sign of zero included. NaN
// compares as NaN.
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "lba/conv.h"
#include "lba/gradients.h"
#include "lba/matmul.h"
#include "tests/accumulators.h"
#include "tests/check.h"
#include "tests/paths.h"

namespace lba {
namespace {

using Random = std::mt19937;
using Values = std::vector<float>;

int Draw(Random& random, int low, int high) {
  return low + static_cast<int>(random() % static_cast<uint32_t>(high - low + 1));
}

// Formats and rules; how sums are grouped is drawn.
using DrawText = std::string (*)(Random&);

struct Kind {
  DrawText draw;
  bool has_avx2_kernel, has_portable_kernel;
};

std::string Float32(Random&) { return "fp32-fma"; }

std::string Float16(Random&) { return "fp16-fma"; }
std::string Bfloat16(Random&) { return "bf16-fma"; }
std::string RoundedFloat16(Random&) { return "fp16-mul-add"; }

// Any format without IEEE 754's codes.
std::string AnyFormat(Random& random, int most_mantissa_bits) {
  const int mantissa_bits = Draw(random, 0, most_mantissa_bits), exponent_bits = Draw(random, 1, 7);
  const int least_bias = (1 << exponent_bits) - 128;
  const int bias = Draw(random, 0, 1) != 0 ? Draw(random, least_bias, 126) : Draw(random, std::max(least_bias, 2), 40);
  return "M" + std::to_string(mantissa_bits) + "E" + std::to_string(exponent_bits) + "b" + std::to_string(bias);
}

// Sums of exact products.
std::string AnyExact(Random& random, int most_mantissa_bits) {
  const std::string format = AnyFormat(random, most_mantissa_bits);
  return format + (Draw(random, 0, 3) == 0 ? ",underflow=off" : "") + ",product=exact";
}

std::string ExactTruncate(Random& random) { return AnyExact(random, 22); }
std::string ExactNearest(Random& random) {
  if (Draw(random, 0, 2) == 0) return "M9E6b31,product=exact,round=nearest";
  return AnyExact(random, Draw(random, 0, 1) != 0 ? 22 : 10) + ",round=nearest";
}

std::string DrawnRounding(Random& random) {
  const std::string seed = Draw(random, 0, 1) != 0 ? ",seed=" + std::to_string(random()) : "";
  return ",round=stochastic" + std::to_string(Draw(random, 1, 16)) + seed;
}
std::string ExactStochastic(Random& random) {
  return (Draw(random, 0, 2) == 0 ? "M5E6b31,product=exact" : AnyExact(random, 12)) + DrawnRounding(random);
}

// Both formats alike, or with one bias and other mantissas, or with biases and mantissas near to each other's, or any.
std::string RoundedStochastic(Random& random) {
  const int mantissa_bits = Draw(random, 0, 10), exponent_bits = Draw(random, 3, 5), bias = Draw(random, 4, 20);
  const auto near = [&](int bits, int bias_above) {
    return "M" + std::to_string(mantissa_bits + bits) + "E" + std::to_string(exponent_bits) + "b" +
           std::to_string(bias + bias_above);
  };
  const std::string texts[] = {near(0, 0) + "/" + near(0, 0), near(Draw(random, 0, 3), 0) + "/" + near(0, 0),
                               near(Draw(random, 0, 3), Draw(random, -3, 4)) + "/" + near(Draw(random, 0, 3), 0),
                               AnyFormat(random, 12) + "/" + AnyFormat(random, 12)};
  const std::string underflow = Draw(random, 0, 7) == 0 ? ",underflow=off" : "";
  return texts[Draw(random, 0, 3)] + underflow + DrawnRounding(random);
}

// Where kernels for vectors or for any 64-bit target are.
constexpr Kind kKinds[] = {{Float32, true, true},          {Float16, true, false},          {Bfloat16, true, false},
                           {RoundedFloat16, true, false},  {ExactTruncate, true, true},     {ExactNearest, true, true},
                           {ExactStochastic, true, false}, {RoundedStochastic, true, false}};

std::string DrawSpecText(Random& random, DrawText draw) {
  static const char* const kOrders[] = {"", "none", "1", "3", "16", "2x3", "4x2x2", "16x1"};
  const std::string text = draw(random), order = kOrders[Draw(random, 0, 7)];
  return order.empty() ? text : text + ",chunk=" + order;
}

float FromFloatBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

uint32_t FloatBitsOf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// The operands of a case: the exponents of their products lie around the smallest or largest values of the format or
// anywhere between, their mantissas are short, or halfway between two of the format's, or any.
class OperandDrawer {
 public:
  OperandDrawer(Random& random, const FloatFormat& format) : random_(random), mantissa_bits_(format.mantissa_bits) {
    const int places[] = {format.min_exponent() - (format.has_subnormals ? format.mantissa_bits : 0),
                          format.min_exponent(), format.max_exponent(), 0};
    center_ = places[Draw(random, 0, 3)];
    split_ = std::max(std::min(center_ / 2 + Draw(random, -20, 20), 120), -120);
    spread_ = Draw(random, 0, 1) != 0 ? Draw(random, 0, 2) : Draw(random, 0, 24);
    bits_ = Draw(random, 0, 2) == 0 ? 24 : Draw(random, 1, Draw(random, 0, 1) != 0 ? 4 : 12);
    is_short_ = Draw(random, 0, 1) != 0;
    is_hostile_ = Draw(random, 0, 5) == 0;
  }

  Values Moving(int64_t count) const { return Drawn(count, split_, bits_); }
  // Powers of two leave a tie a tie.
  Values Fixed(int64_t count) const { return Drawn(count, center_ - split_, Draw(random_, 0, 2) == 0 ? 1 : bits_); }

 private:
  Values Drawn(int64_t count, int exponent, int bits) const {
    Values values(count);
    for (float& value : values) value = Value(exponent, bits);
    return values;
  }

  float Value(int exponent, int bits) const {
    const int kind = Draw(random_, 0, 60);
    if (kind < 2) return kind == 0 ? 0.0f : -0.0f;
    if (is_hostile_ && kind < 6) return FromFloatBits(static_cast<uint32_t>(random_()));
    if (is_hostile_ && kind < 9) return std::ldexp(static_cast<float>(Draw(random_, -8, 8)), -149);
    if (is_hostile_ && kind == 9) return HUGE_VALF;
    if (!is_short_ && kind < 20) bits = std::min(mantissa_bits_ + 2, 24);
    const float integer = static_cast<float>((1 << (bits - 1)) | Draw(random_, 0, (1 << (bits - 1)) - 1));
    const int power = exponent + Draw(random_, -spread_, spread_) - (bits - 1);
    const float value = std::ldexp(integer, power);
    return Draw(random_, 0, 1) != 0 ? value : -value;
  }

  Random& random_;
  const int mantissa_bits_;
  int center_, split_, spread_, bits_;
  bool is_short_, is_hostile_;
};

struct MatMulCase {
  std::string text;
  MatMulShape shape;
  Values a, b;

  MatMulCase(Random& random, DrawText draw) : text(DrawSpecText(random, draw)) {
    shape.rows = Draw(random, 1, 20);
    shape.columns = Draw(random, 0, 1) != 0 ? Draw(random, 1, 40) : Draw(random, 28, 34);
    shape.depth = Draw(random, 0, 40);
    shape.a_offsets = shape.b_offsets = {0};
    shape.a_row_stride = shape.depth;
    shape.b_depth_stride = shape.columns;
    const OperandDrawer drawer(random, ParseSpec(text).accumulator_format);
    a = drawer.Moving(shape.rows * shape.depth);
    b = drawer.Fixed(shape.depth * shape.columns);
  }

  // One output.
  MatMulCase(const std::string& text, const Values& x, const Values& w) : text(text), a(x), b(w) {
    shape.rows = shape.columns = 1;
    shape.depth = static_cast<int64_t>(x.size());
    shape.a_offsets = shape.b_offsets = {0};
    shape.a_row_stride = shape.depth;
    shape.b_depth_stride = 1;
  }

  Values Computed() const {
    Values y(shape.rows * shape.columns, 77.0f);
    MatMul(*ParseAccumulator(text), shape, a.data(), b.data(), nullptr, y.data(), ThreadParallel(2), nullptr);
    return y;
  }

  // How many products an estimator gates.
  int64_t Gated(Estimator estimator) const {
    const Values grad(shape.rows * shape.columns, 1.0f);
    Values grad_a(a.size()), grad_b(b.size());
    return AddMatMulGradients(*ParseAccumulator(text), estimator, shape, a.data(), b.data(), grad.data(), grad_a.data(),
                              grad_b.data(), ThreadParallel(2));
  }
};

struct ConvCase {
  std::string text;
  ConvShape shape;
  Values x, w;

  ConvCase(Random& random, DrawText draw) : text(DrawSpecText(random, draw)) {
    shape.groups = Draw(random, 1, 3);
    shape.in_channels = shape.groups * Draw(random, 1, 3);
    shape.out_channels = shape.groups * (Draw(random, 0, 1) != 0 ? Draw(random, 1, 3) : Draw(random, 4, 12));
    for (int d = 1; d < 3; ++d) {
      shape.kernel[d] = Draw(random, 1, 3);
      shape.strides[d] = Draw(random, 1, 2);
      shape.pads_begin[d] = shape.pads_end[d] = Draw(random, 0, 1);
      shape.input[d] = Draw(random, 3, 12);
    }
    const std::string reason = CompleteConvShape(&shape);
    CHECK(reason.empty(), "%s", reason.c_str());
    const OperandDrawer drawer(random, ParseSpec(text).accumulator_format);
    x = drawer.Moving(shape.in_channels * shape.input_size());
    w = drawer.Fixed(shape.out_channels * shape.depth());
  }

  Values Computed() const {
    Values y(shape.out_channels * shape.output_size(), 77.0f);
    Conv(*ParseAccumulator(text), shape, x.data(), w.data(), nullptr, nullptr, y.data(), ThreadParallel(2), nullptr);
    return y;
  }
};

bool IsSame(float a, float b) { return std::isnan(a) ? std::isnan(b) : FloatBitsOf(a) == FloatBitsOf(b); }

// `compute` does the same on every path as on the path of the definition.
template <class Compute, class Compare>
void CheckPaths(const Compute& compute, const Compare& compare) {
  setenv("LBA_ONNX_CPU_PATH", CpuPathName(CpuPath::kExact), 1);
  const auto expected = compute();
  ForEachPath([&](CpuPath path) {
    if (path != CpuPath::kExact) compare(path, compute(), expected);
  });
}

template <class Case>
void Check(uint32_t seed, DrawText draw) {
  Random random(seed);
  const Case drawn(random, draw);
  CheckPaths([&] { return drawn.Computed(); },
             [&](CpuPath path, const Values& y, const Values& expected) {
               for (size_t i = 0; i < y.size(); ++i) {
                 CHECK(IsSame(y[i], expected[i]), "%s on %s, seed %u, output %zu: expected %a, got %a",
                       drawn.text.c_str(), CpuPathName(path), seed, i, static_cast<double>(expected[i]),
                       static_cast<double>(y[i]));
               }
             });
}

void CheckOutput(const std::string& text, const Values& x, const Values& w, float expected, CpuPath path) {
  const float y = MatMulCase(text, x, w).Computed()[0];
  CHECK(IsSame(y, expected), "%s on %s, %a: expected %a, got %a", text.c_str(), CpuPathName(path),
        static_cast<double>(x[0]), static_cast<double>(expected), static_cast<double>(y));
}

// Where kernels stop: at operands that the hardware would flush, and at products that float32 does not hold.
void CheckEdges(CpuPath path) {
  const std::string nearest = "M7E7b100,product=exact,round=nearest";
  for (int e = 10; e < 120; ++e) {
    const float tiny = std::ldexp(1.0f, -e);
    CheckOutput("M7E4b7,product=exact", {1, -tiny}, {1, tiny}, 1 - 0x1p-8f, path);
    if (e < 50) CheckOutput(nearest, {tiny, 1}, {tiny, 1 + 0x1p-8f}, 1 + 0x1p-7f, path);
    if (e < 50) CheckOutput(nearest, {-tiny, 1}, {tiny, 1 + 0x1p-8f}, 1, path);
  }
  // Just below halfway between two of bfloat16's subnormal values, and of float16's.
  CheckOutput("bf16-fma", {3 * 0x1.002p-67f}, {0x1.ffcp-68f}, 0x1p-133f, path);
  CheckOutput("fp16-fma", {3 * 0x1.002p-13f}, {0x1.ffcp-13f}, 0x1p-24f, path);
  CheckOutput("fp16-mul-add", {3 * 0x1.002p-13f}, {0x1.ffcp-13f}, 0x1p-24f, path);
}

// Gradients follow the definition's steps on every path.
void CheckGates(uint32_t seed, DrawText draw) {
  Random random(seed);
  const MatMulCase drawn(random, draw);
  const Estimator estimators[] = {Estimator::kImmediateOverflow, Estimator::kRecursiveOverflow,
                                  Estimator::kImmediateDifference};
  const Estimator estimator = estimators[Draw(random, 0, 2)];
  CheckPaths([&] { return drawn.Gated(estimator); },
             [&](CpuPath path, int64_t gated, int64_t expected) {
               CHECK(gated == expected, "%s on %s, seed %u: expected %lld gated products, got %lld", drawn.text.c_str(),
                     CpuPathName(path), seed, static_cast<long long>(expected), static_cast<long long>(gated));
             });
}

// The processor's own chain.
void CheckFloat32Chain(uint32_t seed) {
  Random random(seed);
  MatMulCase drawn(random, Float32);
  drawn.text = "fp32-fma,chunk=none";
  const Values y = drawn.Computed();
  const int64_t depth = drawn.shape.depth, columns = drawn.shape.columns;
  for (size_t i = 0; i < y.size(); ++i) {
    float sum = 0;
    for (int64_t k = 0; k < depth; ++k) {
      sum = std::fma(drawn.a[i / columns * depth + k], drawn.b[k * columns + i % columns], sum);
    }
    CHECK(IsSame(y[i], sum), "seed %u, output %zu: expected %a, got %a", seed, i, static_cast<double>(sum),
          static_cast<double>(y[i]));
  }
}

std::vector<int64_t> TilesOfPaths() {
  std::vector<int64_t> tiles;
  for (const CpuPath path : Paths()) tiles.push_back(TilesCounted(path));
  return tiles;
}

}  // namespace
}  // namespace lba

int main(int argc, char** argv) {
  using namespace lba;
  const uint32_t first = argc > 1 ? static_cast<uint32_t>(std::stoul(argv[1])) : 0;
  constexpr uint32_t kSeeds = 400;
  for (const Kind& kind : kKinds) {
    const std::vector<int64_t> before = TilesOfPaths();
    for (uint32_t seed = first; seed < first + kSeeds; ++seed) {
      Check<MatMulCase>(seed, kind.draw);
      Check<ConvCase>(seed, kind.draw);
      if (seed % 4 == 0) CheckGates(seed, kind.draw);
    }
    const std::vector<int64_t> after = TilesOfPaths();
    for (size_t i = 0; i < Paths().size(); ++i) {
      const bool has_kernel = Paths()[i] == CpuPath::kAvx2       ? kind.has_avx2_kernel
                              : Paths()[i] == CpuPath::kPortable ? kind.has_portable_kernel
                                                                 : true;
      CHECK(!has_kernel || after[i] > before[i], "%s computed nothing", CpuPathName(Paths()[i]));
    }
  }
  ForEachPath([&](CpuPath path) {
    CheckEdges(path);
    for (uint32_t seed = first; seed < first + kSeeds; ++seed) CheckFloat32Chain(seed);
    std::printf("%s: %u matrix products and convolutions of each kind\n", CpuPathName(path), kSeeds);
  });
}
