// Gradients on every CPU path against a plain loop over lba/fmaq.h. The data are such that every sum of a gradient is
// exact, so that equality is of bits: one open product per sum, or small integers.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "arithmetic/chunked_float/definition.h"
#include "lba/gradients.h"
#include "tests/accumulators.h"
#include "tests/check.h"
#include "tests/paths.h"

namespace lba {
namespace {

using Random = std::mt19937;
using Values = std::vector<float>;

int64_t Draw(Random& random, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
}

AccumulatorSpec DrawSpec(Random& random) {
  AccumulatorSpec spec;
  const int mantissa = static_cast<int>(Draw(random, 1, 10)), exponent = static_cast<int>(Draw(random, 2, 5));
  const int bias = static_cast<int>(Draw(random, -2, (1 << exponent) + 1));
  spec.accumulator_format = {mantissa, exponent, bias};
  spec.product_format = {mantissa, exponent, bias + static_cast<int>(Draw(random, -1, 3))};
  spec.chunk_size = Draw(random, 0, 3) == 0 ? 0 : Draw(random, 1, 20);
  if (spec.chunk_size != 0) spec.outer_chunks.resize(Draw(random, 0, 1) * Draw(random, 1, 2));
  for (int64_t& size : spec.outer_chunks) size = Draw(random, 1, 4);
  spec.underflow = Draw(random, 0, 2) != 0;
  spec.rounding = Draw(random, 0, 1) != 0 ? Rounding::kNearest : Rounding::kTruncate;
  return spec;
}

float DrawInteger(Random& random) { return static_cast<float>(Draw(random, -4, 4)); }

// Any magnitude around 1, zeros, and now and then a subnormal, infinite or NaN.
float DrawHostile(Random& random) {
  switch (Draw(random, 0, 40)) {
    case 0:
      return 0.0f;
    case 1:
      return std::ldexp(1.5f, -140);
    case 2:
      return Draw(random, 0, 30) == 0 ? INFINITY : -0.0f;
    case 3:
      return Draw(random, 0, 30) == 0 ? NAN : 0.0f;
    default: {
      const float mantissa = static_cast<float>(Draw(random, -(1 << 23), 1 << 23)) / (1 << 23);
      return std::ldexp(mantissa, static_cast<int>(Draw(random, -6, 3)));
    }
  }
}

// Integers, and some infinite or NaN: padding is then not the same as zeros.
float DrawSpecial(Random& random) {
  const int64_t kind = Draw(random, 0, 20);
  return kind == 0 ? INFINITY : kind == 1 ? NAN : DrawInteger(random);
}

Values DrawValues(Random& random, int64_t count, float (*draw)(Random&)) {
  Values values(count);
  for (float& value : values) value = draw(random);
  return values;
}

// Which products of one dot product pass their gradient (docs/numerics.md, "Gradients").
class Gates {
 public:
  Gates(const AccumulatorSpec& spec, Estimator estimator, const Values& x, const Values& w)
      : product_format_(QuantizeConstants::Of(spec.product_format, spec.underflow, spec.rounding)),
        sum_format_(QuantizeConstants::Of(spec.accumulator_format, spec.underflow, spec.rounding)),
        order_(spec.Order(static_cast<int64_t>(x.size()))),
        is_difference_(estimator == Estimator::kImmediateDifference),
        is_recursive_(estimator == Estimator::kRecursiveOverflow),
        x_(x),
        w_(w),
        open_(x.size(), 1) {
    Chain(order_.levels, 0, static_cast<int64_t>(x.size()));
  }

  const std::vector<char>& open() const { return open_; }

 private:
  // A chain of groups of the level below, or of products; returns its sum.
  double Chain(int level, int64_t begin, int64_t end) {
    double total = 0;
    if (level == 0) {
      for (int64_t k = begin; k < end; ++k) total = AddProduct(begin, k, total);
      return total;
    }
    const int64_t length = order_.lengths[level - 1];
    for (int64_t first = begin; first < end; first += length) {
      const int64_t last = std::min(first + length, end);
      const double sum = Chain(level - 1, first, last), next = QuantizedSum(sum, total, sum_format_);
      const bool is_gated = is_difference_ ? sum != 0 && next == total : std::fabs(next) == sum_format_.max_value;
      if (is_gated) Close(is_recursive_ ? begin : first, last);
      total = next;
    }
    return total;
  }

  double AddProduct(int64_t begin, int64_t k, double sum) {
    const double product = QuantizedProduct(x_[k], w_[k], product_format_);
    const double next = QuantizedSum(product, sum, sum_format_);
    if (is_difference_) {
      if (x_[k] != 0 && w_[k] != 0 && next == sum) Close(k, k + 1);
    } else {
      if (std::fabs(product) == product_format_.max_value) Close(k, k + 1);
      if (std::fabs(next) == sum_format_.max_value) Close(is_recursive_ ? begin : k, k + 1);
    }
    return next;
  }

  void Close(int64_t begin, int64_t end) { std::fill(open_.begin() + begin, open_.begin() + end, 0); }

  const QuantizeConstants product_format_, sum_format_;
  const SumOrder order_;
  const bool is_difference_, is_recursive_;
  const Values &x_, &w_;
  std::vector<char> open_;
};

std::vector<char> Open(const AccumulatorSpec& spec, Estimator estimator, const Values& x, const Values& w) {
  return Gates(spec, estimator, x, w).open();
}

bool IsSame(const Values& a, const Values& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (!(a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i])))) return false;
  }
  return a.size() == b.size();
}

std::string Described(const AccumulatorSpec& s, Estimator estimator, CpuPath path) {
  return TextOf(s) + " estimator " + std::to_string(static_cast<int>(estimator)) + " on " + CpuPathName(path);
}

struct MatMulCase {
  AccumulatorSpec spec;
  Estimator estimator;
  int64_t batch, rows, columns, depth;
  Values a, b, grad;  // a [batch][rows][depth], b [batch][columns][depth]
  Values grad_a, grad_b;
  int64_t gated = 0;
};

// One nonzero gradient in each row and each column at most: every sum has one term.
Values DrawPermutation(Random& random, int64_t rows, int64_t columns) {
  Values grad(rows * columns);
  const int64_t shift = Draw(random, 0, columns - 1);
  for (int64_t i = 0; i < std::min(rows, columns); ++i) grad[i * columns + (i + shift) % columns] = 1.0f;
  return grad;
}

MatMulCase DrawMatMul(Random& random) {
  MatMulCase c;
  c.spec = DrawSpec(random);
  c.estimator = static_cast<Estimator>(Draw(random, 0, 2));
  c.batch = Draw(random, 1, 3);
  c.rows = Draw(random, 1, 40);
  c.columns = Draw(random, 1, 90);
  c.depth = Draw(random, 1, 70);
  const bool is_exact = Draw(random, 0, 1) == 0;
  c.a = DrawValues(random, c.batch * c.rows * c.depth, is_exact ? DrawInteger : DrawHostile);
  c.b = DrawValues(random, c.batch * c.columns * c.depth, is_exact ? DrawInteger : DrawHostile);
  for (int64_t entry = 0; entry < c.batch; ++entry) {
    const Values grad =
        is_exact ? DrawValues(random, c.rows * c.columns, DrawInteger) : DrawPermutation(random, c.rows, c.columns);
    c.grad.insert(c.grad.end(), grad.begin(), grad.end());
  }
  std::vector<double> grad_a(c.a.size()), grad_b(c.b.size());
  for (int64_t i = 0; i < c.batch * c.rows; ++i) {
    const Values x(&c.a[i * c.depth], &c.a[i * c.depth] + c.depth);
    for (int64_t j = 0; j < c.columns; ++j) {
      const int64_t column = i / c.rows * c.columns + j;
      const Values w(&c.b[column * c.depth], &c.b[column * c.depth] + c.depth);
      const std::vector<char> open = Open(c.spec, c.estimator, x, w);
      const double g = c.grad[i * c.columns + j];
      for (int64_t k = 0; k < c.depth; ++k) {
        c.gated += !open[k];
        if (open[k]) grad_a[i * c.depth + k] += g * w[k];
        if (open[k]) grad_b[column * c.depth + k] += g * x[k];
      }
    }
  }
  c.grad_a.assign(grad_a.begin(), grad_a.end());
  c.grad_b.assign(grad_b.begin(), grad_b.end());
  return c;
}

void CheckMatMul(const MatMulCase& c, CpuPath path, int threads, int wanted) {
  MatMulShape shape;
  shape.rows = c.rows;
  shape.columns = c.columns;
  shape.depth = c.depth;
  for (int64_t i = 0; i < c.batch; ++i) {
    shape.a_offsets.push_back(i * c.rows * c.depth);
    shape.b_offsets.push_back(i * c.columns * c.depth);
  }
  shape.a_row_stride = shape.b_column_stride = c.depth;
  shape.b_depth_stride = 1;
  Values grad_a(c.grad_a.size()), grad_b(c.grad_b.size());
  const int64_t gated = AddMatMulGradients(*Made(c.spec), c.estimator, shape, c.a.data(), c.b.data(), c.grad.data(),
                                           wanted != 1 ? grad_a.data() : nullptr, wanted != 2 ? grad_b.data() : nullptr,
                                           ThreadParallel(threads));
  const std::string what = Described(c.spec, c.estimator, path);
  CHECK(gated == c.gated, "%lld, expected %lld: %s", static_cast<long long>(gated), static_cast<long long>(c.gated),
        what.c_str());
  CHECK(wanted == 1 || IsSame(grad_a, c.grad_a), "%s", what.c_str());
  CHECK(wanted == 2 || IsSame(grad_b, c.grad_b), "%s", what.c_str());
}

struct ConvCase {
  AccumulatorSpec spec;
  Estimator estimator;
  ConvShape shape;
  Values x, w, grad, grad_x, grad_w;
  int64_t gated = 0;
};

// Offset in its sample's channel of what an output reads at a kernel offset; -1 in the padding.
int64_t InputOffset(const ConvShape& s, const std::array<int64_t, 3>& output, const std::array<int64_t, 3>& kernel) {
  int64_t offset = 0;
  for (int d = 0; d < 3; ++d) {
    const int64_t at = output[d] * s.strides[d] + kernel[d] * s.dilations[d] - s.pads_begin[d];
    if (at < 0 || at >= s.input[d]) return -1;
    offset = offset * s.input[d] + at;
  }
  return offset;
}

std::array<int64_t, 3> Unravelled(int64_t index, const std::array<int64_t, 3>& sizes) {
  return {index / sizes[2] / sizes[1], index / sizes[2] % sizes[1], index % sizes[2]};
}

// Where the elements of an output's patch lie in x; -1 in the padding.
std::vector<int64_t> PatchOffsets(const ConvShape& s, int64_t sample, int64_t group, int64_t position) {
  std::vector<int64_t> offsets;
  const int64_t kernel_size = s.kernel[0] * s.kernel[1] * s.kernel[2];
  for (int64_t channel = 0; channel < s.group_in_channels(); ++channel) {
    const int64_t plane = sample * s.in_channels + group * s.group_in_channels() + channel;
    for (int64_t k = 0; k < kernel_size; ++k) {
      const int64_t offset = InputOffset(s, Unravelled(position, s.output), Unravelled(k, s.kernel));
      offsets.push_back(offset < 0 ? -1 : plane * s.input_size() + offset);
    }
  }
  return offsets;
}

void FillConvGradients(ConvCase* c) {
  const ConvShape& s = c->shape;
  std::vector<double> grad_x(c->x.size()), grad_w(c->w.size());
  for (int64_t i = 0; i < static_cast<int64_t>(c->grad.size()); ++i) {
    const int64_t channel = i / s.output_size() % s.out_channels;
    const std::vector<int64_t> offsets =
        PatchOffsets(s, i / s.output_size() / s.out_channels, channel / s.group_out_channels(), i % s.output_size());
    Values patch, filter(&c->w[channel * s.depth()], &c->w[channel * s.depth()] + s.depth());
    for (int64_t k = 0; k < s.depth(); ++k) {
      patch.push_back(offsets[k] < 0 ? 0.0f : c->x[offsets[k]]);
      if (offsets[k] < 0) filter[k] = 0.0f;  // a product of 0, whatever the weight
    }
    const std::vector<char> open = Open(c->spec, c->estimator, patch, filter);
    for (int64_t k = 0; k < s.depth(); ++k) {
      c->gated += !open[k];
      if (!open[k]) continue;
      if (offsets[k] >= 0) grad_x[offsets[k]] += static_cast<double>(c->grad[i]) * filter[k];
      grad_w[channel * s.depth() + k] += static_cast<double>(c->grad[i]) * patch[k];
    }
  }
  c->grad_x.assign(grad_x.begin(), grad_x.end());
  c->grad_w.assign(grad_w.begin(), grad_w.end());
}

ConvCase DrawConv(Random& random) {
  ConvCase c;
  c.spec = DrawSpec(random);
  c.estimator = static_cast<Estimator>(Draw(random, 0, 2));
  ConvShape& s = c.shape;
  s.batch = Draw(random, 1, 5);
  s.groups = Draw(random, 1, 3);
  s.in_channels = s.groups * Draw(random, 1, 3);
  s.out_channels = s.groups * Draw(random, 1, 11);
  const bool is_pointwise = Draw(random, 0, 4) == 0;
  do {
    for (int d = static_cast<int>(Draw(random, 0, 2)); d < 3; ++d) {
      s.input[d] = Draw(random, 1, 9);
      if (is_pointwise) continue;
      s.kernel[d] = Draw(random, 1, 3);
      s.strides[d] = Draw(random, 1, 2);
      s.dilations[d] = Draw(random, 1, 2);
      s.pads_begin[d] = Draw(random, 0, 2);
      s.pads_end[d] = Draw(random, 0, 2);
    }
  } while (!CompleteConvShape(&s).empty());
  c.x = DrawValues(random, s.batch * s.in_channels * s.input_size(), DrawInteger);
  c.w = DrawValues(random, s.out_channels * s.depth(), Draw(random, 0, 4) == 0 ? DrawSpecial : DrawInteger);
  c.grad = DrawValues(random, s.batch * s.out_channels * s.output_size(), DrawInteger);
  FillConvGradients(&c);
  return c;
}

void CheckConv(const ConvCase& c, CpuPath path, int threads, int wanted) {
  Values grad_x(c.x.size()), grad_w(c.w.size());
  const int64_t gated = AddConvGradients(*Made(c.spec), c.estimator, c.shape, c.x.data(), c.w.data(), c.grad.data(),
                                         wanted != 1 ? grad_x.data() : nullptr, wanted != 2 ? grad_w.data() : nullptr,
                                         ThreadParallel(threads));
  const std::string what = Described(c.spec, c.estimator, path);
  CHECK(gated == c.gated, "%lld, expected %lld: %s", static_cast<long long>(gated), static_cast<long long>(c.gated),
        what.c_str());
  CHECK(wanted == 1 || IsSame(grad_x, c.grad_x), "%s", what.c_str());
  CHECK(wanted == 2 || IsSame(grad_w, c.grad_w), "%s", what.c_str());
}

// More of the fixed operand than one block holds: both operands wide and deep.
void TestBlocks() {
  Random random(3);
  MatMulCase c;
  c.spec.product_format = {4, 3, 2};
  c.spec.accumulator_format = {4, 3, 1};
  c.estimator = Estimator::kRecursiveOverflow;
  const int64_t rows = 350, columns = 300, depth = 600;
  const Values a = DrawValues(random, rows * depth, DrawInteger), b = DrawValues(random, columns * depth, DrawInteger);
  const Values grad = DrawValues(random, rows * columns, DrawInteger);
  MatMulShape shape;
  shape.rows = rows;
  shape.columns = columns;
  shape.depth = depth;
  shape.a_offsets = shape.b_offsets = {0};
  shape.a_row_stride = shape.b_column_stride = depth;
  shape.b_depth_stride = 1;
  Values whole_a(a.size()), whole_b(b.size());
  const int64_t gated = AddMatMulGradients(*Made(c.spec), c.estimator, shape, a.data(), b.data(), grad.data(),
                                           whole_a.data(), whole_b.data(), ThreadParallel(2));
  // The same in two calls: rows do not depend on each other, and these sums are exact.
  Values half_a(a.size()), half_b(b.size());
  int64_t half_gated = 0;
  shape.rows = rows / 2;
  for (int64_t first = 0; first < rows; first += shape.rows) {
    shape.a_offsets = {first * depth};
    half_gated +=
        AddMatMulGradients(*Made(c.spec), c.estimator, shape, a.data(), b.data(), grad.data() + first * columns,
                           half_a.data() + first * depth, half_b.data(), SerialParallel());
  }
  CHECK(gated == half_gated, "%lld, expected %lld", static_cast<long long>(gated), static_cast<long long>(half_gated));
  CHECK(IsSame(whole_a, half_a) && IsSame(whole_b, half_b), "blocks change gradients");
}

void TestAll() {
  Random random(1);
  for (int i = 0; i < 400; ++i) {
    const MatMulCase matmul = DrawMatMul(random);
    const ConvCase conv = DrawConv(random);
    ForEachPath([&](CpuPath path) {
      CheckMatMul(matmul, path, 1 + i % 3, i % 4);
      CheckConv(conv, path, 1 + i % 3, i % 4);
    });
  }
}

}  // namespace
}  // namespace lba

int main() {
  lba::TestAll();
  lba::TestBlocks();
  return 0;
}
