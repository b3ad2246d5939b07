// Every CPU path against a plain loop over lba/fmaq.h, on random shapes and hostile operands.
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "arithmetic/chunked_float/definition.h"
#include "lba/conv.h"
#include "lba/matmul.h"
#include "tests/accumulators.h"
#include "tests/check.h"
#include "tests/paths.h"

namespace lba {
namespace {

using Random = std::mt19937;

int64_t Draw(Random& random, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
}

FloatFormat DrawFormat(Random& random) {
  FloatFormat format;
  format.mantissa_bits = static_cast<int>(Draw(random, 0, 22));
  format.exponent_bits = static_cast<int>(Draw(random, 1, 7));
  format.exponent_bias = static_cast<int>(Draw(random, (1 << format.exponent_bits) - 128, 126));
  CHECK(CheckFormat(format).empty(), "%s", CheckFormat(format).c_str());
  return format;
}

AccumulatorSpec DrawSpec(Random& random) {
  AccumulatorSpec spec;
  spec.product_format = DrawFormat(random);
  spec.accumulator_format = DrawFormat(random);
  spec.chunk_size = Draw(random, 0, 20);
  spec.underflow = Draw(random, 0, 2) != 0;
  spec.rounding = Draw(random, 0, 1) != 0 ? Rounding::kNearest : Rounding::kTruncate;
  if (Draw(random, 0, 2) != 0) {  // the usual neighbourhood
    spec.product_format = {7, 4, static_cast<int>(Draw(random, 6, 14))};
    spec.accumulator_format = {7, 4, static_cast<int>(Draw(random, 6, 14))};
  }
  if (Draw(random, 0, 1) != 0) return spec;
  if (spec.chunk_size != 0) spec.outer_chunks.resize(Draw(random, 0, 3));
  for (int64_t& size : spec.outer_chunks) size = Draw(random, 1, 5);
  spec.tree = Draw(random, 0, 1) * Draw(random, 1, 40);
  return spec;
}

std::vector<float> DrawValues(Random& random, int64_t count) {
  const int kind = static_cast<int>(Draw(random, 0, 4));
  const int spread = static_cast<int>(Draw(random, 0, 20));
  std::vector<float> values(count);
  for (float& value : values) {
    if (kind == 0) {  // any bits at all
      const uint32_t bits = static_cast<uint32_t>(random());
      std::memcpy(&value, &bits, sizeof value);
    } else if (kind == 1) {  // few mantissa bits
      value = static_cast<float>(Draw(random, -7, 7)) / 4.0f;
    } else {
      const float mantissa = static_cast<float>(Draw(random, -(1 << 23), 1 << 23)) / (1 << 23);
      value = std::ldexp(mantissa, static_cast<int>(Draw(random, -spread, spread)));
    }
    if (kind == 4 && Draw(random, 0, 2) == 0) value = 0;
  }
  return values;
}

using Sums = std::vector<double>;

// Of each group of `size` items, what `sum` makes of it.
template <class Sum>
Sums OfGroups(const Sums& items, size_t size, const Sum& sum) {
  Sums sums;
  for (size_t begin = 0; begin < items.size(); begin += size) {
    sums.push_back(sum(Sums(items.begin() + begin, items.begin() + std::min(begin + size, items.size()))));
  }
  return sums;
}

// The definition (docs/numerics.md). `is_padding` marks products that are 0 whatever the operands.
float Dot(const AccumulatorSpec& spec, const std::vector<float>& x, const std::vector<float>& w,
          const std::vector<bool>& is_padding) {
  const QuantizeConstants product = QuantizeConstants::Of(spec.product_format, spec.underflow, spec.rounding);
  const QuantizeConstants accumulator = QuantizeConstants::Of(spec.accumulator_format, spec.underflow, spec.rounding);
  const auto chain = [&](const Sums& items) {
    double sum = 0;
    for (const double item : items) sum = QuantizedSum(item, sum, accumulator);
    return sum;
  };
  const auto tree = [&](Sums items) {
    if (items.size() == 1) return chain(items);
    while (items.size() > 1) {
      Sums next;
      for (size_t i = 0; i + 1 < items.size(); i += 2)
        next.push_back(QuantizedSum(items[i], items[i + 1], accumulator));
      if (items.size() % 2 != 0) next.push_back(items.back());
      items = next;
    }
    return items[0];
  };
  Sums items;
  for (size_t k = 0; k < x.size(); ++k) {
    items.push_back(is_padding[k] ? 0.0 : QuantizedProduct(x[k], w[k], product));
  }
  if (spec.tree != 0) items = OfGroups(items, spec.tree, tree);
  if (spec.chunk_size != 0) items = OfGroups(items, spec.chunk_size, chain);
  for (const int64_t size : spec.outer_chunks) items = OfGroups(items, size, chain);
  return static_cast<float>(chain(items));
}

bool IsSame(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

struct MatMulCase {
  AccumulatorSpec spec;
  MatMulShape shape;
  std::vector<float> a, b, expected;
  bool is_packed;

  explicit MatMulCase(Random random) : spec(DrawSpec(random)) {
    shape.rows = Draw(random, 1, 20);
    shape.columns = Draw(random, 1, 40);
    shape.depth = Draw(random, 0, 40);
    const int64_t batch = Draw(random, 1, 3);
    const bool is_transposed = Draw(random, 0, 1) != 0;
    shape.a_row_stride = is_transposed ? 1 : shape.depth;
    shape.a_depth_stride = is_transposed ? shape.rows : 1;
    shape.b_depth_stride = is_transposed ? 1 : shape.columns;
    shape.b_column_stride = is_transposed ? shape.depth : 1;
    for (int64_t i = 0; i < batch; ++i) {
      shape.a_offsets.push_back(i * shape.rows * shape.depth);
      shape.b_offsets.push_back(i % 2 * shape.depth * shape.columns);
    }
    a = DrawValues(random, batch * shape.rows * shape.depth);
    b = DrawValues(random, 2 * shape.depth * shape.columns);
    is_packed = Draw(random, 0, 1) != 0;
    expected.resize(batch * shape.rows * shape.columns);
    for (size_t i = 0; i < expected.size(); ++i) expected[i] = Expected(i);
  }

  std::vector<float> Computed() const {
    std::vector<float> y(expected.size(), 77.0f);
    const auto packed = is_packed ? PackMatrices(*Made(spec), shape, b.data(), SerialParallel()) : nullptr;
    MatMul(*Made(spec), shape, a.data(), b.data(), packed.get(), y.data(), ThreadParallel(2), nullptr);
    return y;
  }

 private:
  float Expected(size_t i) const {
    const int64_t entry = i / (shape.rows * shape.columns), row = i / shape.columns % shape.rows;
    std::vector<float> x(shape.depth), w(shape.depth);
    for (int64_t k = 0; k < shape.depth; ++k) {
      x[k] = a[shape.a_offsets[entry] + row * shape.a_row_stride + k * shape.a_depth_stride];
      w[k] = b[shape.b_offsets[entry] + k * shape.b_depth_stride + i % shape.columns * shape.b_column_stride];
    }
    return Dot(spec, x, w, std::vector<bool>(shape.depth));
  }
};

ConvShape DrawConvShape(Random& random) {
  ConvShape shape;
  shape.batch = Draw(random, 1, 2);
  shape.groups = Draw(random, 1, 4);
  shape.in_channels = shape.groups * Draw(random, 1, 3);
  shape.out_channels = shape.groups * Draw(random, 1, Draw(random, 0, 1) != 0 ? 3 : 12);
  const int rank = static_cast<int>(Draw(random, 1, 3));
  for (int d = 3 - rank; d < 3; ++d) {
    shape.kernel[d] = Draw(random, 1, 3);
    shape.strides[d] = Draw(random, 1, 3);
    shape.dilations[d] = Draw(random, 1, 2);
    shape.pads_begin[d] = Draw(random, 0, 2);
    shape.pads_end[d] = Draw(random, 0, 2);
    shape.input[d] = Draw(random, (shape.kernel[d] - 1) * shape.dilations[d] + 1, rank == 3 ? 6 : 12);
  }
  const std::string reason = CompleteConvShape(&shape);
  CHECK(reason.empty(), "%s", reason.c_str());
  return shape;
}

struct ConvCase {
  AccumulatorSpec spec;
  ConvShape shape;
  std::vector<float> x, w, expected;
  bool is_packed;

  explicit ConvCase(Random random) : spec(DrawSpec(random)), shape(DrawConvShape(random)) {
    x = DrawValues(random, shape.batch * shape.in_channels * shape.input_size());
    w = DrawValues(random, shape.out_channels * shape.depth());
    is_packed = Draw(random, 0, 1) != 0;
    expected.resize(shape.batch * shape.out_channels * shape.output_size());
    for (size_t i = 0; i < expected.size(); ++i) expected[i] = Expected(i);
  }

  std::vector<float> Computed() const {
    std::vector<float> y(expected.size(), 77.0f);
    const auto packed = is_packed ? PackFilter(*Made(spec), shape, w.data()) : nullptr;
    Conv(*Made(spec), shape, x.data(), w.data(), packed.get(), nullptr, y.data(), ThreadParallel(2), nullptr);
    return y;
  }

 private:
  float Expected(size_t i) const {
    const ConvShape& s = shape;
    const int64_t position = i % s.output_size(), channel = i / s.output_size() % s.out_channels;
    const int64_t sample = i / s.output_size() / s.out_channels;
    const int64_t first_channel = channel / s.group_out_channels() * s.group_in_channels();
    std::vector<float> patch, filter(w.begin() + channel * s.depth(), w.begin() + (channel + 1) * s.depth());
    std::vector<bool> is_padding;
    for (int64_t k = 0; k < s.depth(); ++k) {
      const int64_t taps[3] = {k / s.kernel[2] / s.kernel[1] % s.kernel[0], k / s.kernel[2] % s.kernel[1],
                               k % s.kernel[2]};
      const int64_t out[3] = {position / s.output[2] / s.output[1], position / s.output[2] % s.output[1],
                              position % s.output[2]};
      int64_t index = sample * s.in_channels + first_channel + k / s.kernel[2] / s.kernel[1] / s.kernel[0];
      bool is_outside = false;
      for (int d = 0; d < 3; ++d) {
        const int64_t at = out[d] * s.strides[d] + taps[d] * s.dilations[d] - s.pads_begin[d];
        is_outside = is_outside || at < 0 || at >= s.input[d];
        index = index * s.input[d] + at;
      }
      is_padding.push_back(is_outside);
      patch.push_back(is_outside ? 0.0f : x[index]);
    }
    return Dot(spec, patch, filter, is_padding);
  }
};

template <class Case>
void Check(uint32_t seed) {
  const Case drawn{Random(seed)};
  ForEachPath([&](CpuPath path) {
    const std::vector<float> y = drawn.Computed();
    for (size_t i = 0; i < y.size(); ++i) {
      CHECK(IsSame(y[i], drawn.expected[i]), "%s on %s, seed %u, output %zu: expected %a, got %a",
            TextOf(drawn.spec).c_str(), CpuPathName(path), seed, i, static_cast<double>(drawn.expected[i]),
            static_cast<double>(y[i]));
    }
  });
}

}  // namespace
}  // namespace lba

int main() {
  using namespace lba;
  constexpr uint32_t kSeeds = 800;
  for (uint32_t seed = 0; seed < kSeeds; ++seed) {
    Check<MatMulCase>(seed);
    Check<ConvCase>(seed);
  }
  ForEachPath([](CpuPath path) {
    CHECK(TilesCounted(path) > 0, "%s computed nothing", CpuPathName(path));
    std::printf("%s: %u matrix products, %u convolutions\n", CpuPathName(path), kSeeds, kSeeds);
  });
}
