// Weights of few bits: what codes stand for against a plain loop, and products against those of the float32 weights, in
// every CPU path, with hostile scales.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "arithmetic/registry.h"
#include "kernels/cpu/quantized_columns.h"
#include "lba/block_quantized.h"
#include "lba/matmul.h"
#include "tests/check.h"
#include "tests/paths.h"

namespace lba {
namespace {

using Random = std::mt19937;
using Floats = std::vector<float>;

int64_t Draw(Random& random, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
}

float DrawScale(Random& random, bool is_hostile) {
  const Floats hostile{0,     -0.0f,  1e-45f,    -3e-42f,    std::numeric_limits<float>::min(),
                       3e38f, -2e38f, HUGE_VALF, -HUGE_VALF, std::numeric_limits<float>::quiet_NaN()};
  if (is_hostile && Draw(random, 0, 3) == 0) return hostile[Draw(random, 0, 9)];
  return std::ldexp(static_cast<float>(Draw(random, -(1 << 23), 1 << 23)), static_cast<int>(Draw(random, -32, -20)));
}

// What `weights` points to.
struct Matrix {
  BlockQuantized weights;
  std::vector<uint8_t> codes, zero_codes;
  Floats scales, zero_points;
  std::vector<int32_t> block_of_depth;
};

Matrix DrawMatrix(Random& random) {
  Matrix matrix;
  BlockQuantized& weights = matrix.weights;
  weights.columns = Draw(random, 1, 70);
  weights.depth = Draw(random, 1, 90);
  weights.bits = 1 << Draw(random, 1, 3);
  weights.block_size = int64_t{1} << Draw(random, 4, 7);
  const int64_t values = weights.columns * weights.blocks();
  const bool is_hostile = Draw(random, 0, 1) != 0;
  matrix.codes.resize(values * weights.block_bytes());
  for (uint8_t& byte : matrix.codes) byte = static_cast<uint8_t>(random());
  for (int64_t i = 0; i < values; ++i) matrix.scales.push_back(DrawScale(random, is_hostile));
  if (const int64_t kind = Draw(random, 0, 2); kind == 1) {
    matrix.zero_codes.resize(weights.columns * weights.zero_bytes());
    for (uint8_t& byte : matrix.zero_codes) byte = static_cast<uint8_t>(random());
  } else if (kind == 2) {
    for (int64_t i = 0; i < values; ++i) matrix.zero_points.push_back(DrawScale(random, is_hostile));
  }
  if (Draw(random, 0, 2) == 0) {
    for (int64_t k = 0; k < weights.depth; ++k) {
      matrix.block_of_depth.push_back(static_cast<int32_t>(Draw(random, 0, weights.blocks() - 1)));
    }
  }
  return matrix;
}

void Point(Matrix* matrix) {
  BlockQuantized& weights = matrix->weights;
  weights.codes = matrix->codes.data();
  weights.scales = matrix->scales.data();
  weights.zero_codes = matrix->zero_codes.empty() ? nullptr : matrix->zero_codes.data();
  weights.zero_points = matrix->zero_points.empty() ? nullptr : matrix->zero_points.data();
  weights.block_of_depth = matrix->block_of_depth.empty() ? nullptr : matrix->block_of_depth.data();
}

int Code(const uint8_t* bytes, int64_t index, int bits) {
  const int64_t per_byte = 8 / bits;
  int byte = bytes[index / per_byte];
  for (int64_t i = 0; i < index % per_byte; ++i) byte /= 1 << bits;
  return byte % (1 << bits);
}

// One weight, by the words of docs/numerics.md. The compiler keeps each operation: nothing here is fused.
float Weight(const BlockQuantized& weights, int64_t k, int64_t column) {
  const int64_t block = weights.block_of_depth == nullptr ? k / weights.block_size : weights.block_of_depth[k];
  const float code =
      static_cast<float>(Code(weights.codes + column * weights.blocks() * weights.block_bytes(), k, weights.bits));
  const float scale = weights.scales[column * weights.blocks() + block];
  float zero_point = static_cast<float>(1 << (weights.bits - 1));
  if (weights.zero_points != nullptr) zero_point = weights.zero_points[column * weights.blocks() + block];
  if (weights.zero_codes != nullptr) {
    zero_point = static_cast<float>(Code(weights.zero_codes + column * weights.zero_bytes(), block, weights.bits));
  }
  if (!weights.subtracts_products()) return (code - zero_point) * scale;
  const float product = code * scale, zero_product = zero_point * scale;
  return product - zero_product;
}

bool AreSame(const Floats& found, const Floats& expected) {
  if (found.size() != expected.size()) return false;
  for (size_t i = 0; i < found.size(); ++i) {
    const bool are_nan = std::isnan(found[i]) && std::isnan(expected[i]);
    if (!are_nan && std::memcmp(&found[i], &expected[i], sizeof(float)) != 0) return false;
  }
  return true;
}

Floats Weights(const BlockQuantized& weights) {
  Floats values;
  for (int64_t k = 0; k < weights.depth; ++k) {
    for (int64_t column = 0; column < weights.columns; ++column) values.push_back(Weight(weights, k, column));
  }
  return values;
}

MatMulShape ShapeOf(const BlockQuantized& weights, int64_t rows) {
  MatMulShape shape;
  shape.rows = rows;
  shape.columns = weights.columns;
  shape.depth = shape.a_row_stride = weights.depth;
  shape.a_offsets = shape.b_offsets = {0};
  shape.b_depth_stride = weights.columns;
  return shape;
}

// Vectors from anywhere, as statistics ask for them.
void TestPack(Random& random, const BlockQuantized& weights, const Floats& expected) {
  const QuantizedColumns columns(weights, SerialParallel());
  const int64_t first = Draw(random, 0, weights.columns - 1);
  const int count = static_cast<int>(Draw(random, 1, weights.columns - first));
  const int width = count + static_cast<int>(Draw(random, 0, 5));
  Floats found(weights.depth * width), wanted(weights.depth * width);
  columns.Pack(first, count, width, found.data());
  for (int64_t k = 0; k < weights.depth; ++k) {
    std::copy_n(expected.data() + k * weights.columns + first, count, wanted.data() + k * width);
  }
  CHECK(AreSame(found, wanted), "columns %ld to %ld", static_cast<long>(first), static_cast<long>(first + count));
}

void TestProducts(unsigned seed, const char* text) {
  Random random(seed);
  Matrix matrix = DrawMatrix(random);
  Point(&matrix);
  const BlockQuantized& weights = matrix.weights;
  const Floats b = Weights(weights);
  TestPack(random, weights, b);
  const int64_t rows = Draw(random, 1, 20);
  Floats a(rows * weights.depth), found(rows * weights.columns), expected(found.size());
  for (float& value : a) value = DrawScale(random, seed % 5 == 0);
  const SharedAccumulator accumulator = ParseAccumulator(text);
  const std::shared_ptr<const QuantizedMatrix> packed = PackQuantized(*accumulator, weights, SerialParallel());
  QuantizedMatMul(*accumulator, rows, a.data(), *packed, found.data(), ThreadParallel(2), nullptr);
  MatMul(*accumulator, ShapeOf(weights, rows), a.data(), b.data(), nullptr, expected.data(), SerialParallel(), nullptr);
  CHECK(AreSame(found, expected), "seed %u, %s: %ld x %ld x %ld, %d bits, blocks of %ld", seed, text,
        static_cast<long>(rows), static_cast<long>(weights.depth), static_cast<long>(weights.columns), weights.bits,
        static_cast<long>(weights.block_size));
}

Floats Quantized(const Floats& row, int64_t block_size) {
  Floats out(row.size());
  QuantizeRows(1, static_cast<int64_t>(row.size()), block_size, row.data(), out.data(), SerialParallel());
  return out;
}

void TestQuantizedRows() {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  // 127 / 254 = 0.5: codes are halves rounded to even, and the step is 2.
  CHECK(AreSame(Quantized({254, 1, -1, 3, 5, 0.5f, 0}, 16), {254, 0, 0, 4, 4, 0, 0}), "ties");
  CHECK(AreSame(Quantized({127, 3, 254, 3}, 2), {127, 3, 254, 4}), "blocks");
  CHECK(AreSame(Quantized({0, -0.0f, 1e-40f, -1e-40f}, 2), {0, 0, 0, 0}), "blocks without a step");
  CHECK(AreSame(Quantized({1, HUGE_VALF, 1, 127, nan, 2}, 2), {nan, nan, 1, 127, nan, nan}), "not finite");
}

}  // namespace
}  // namespace lba

int main() {
  const char* texts[] = {"M7E4b10", "M22E7b63", "M4E5b20/M6E5b12,chunk=24,round=nearest",
                         "M10E5b15,chunk=8,round=stochastic4", "kulisch"};
  lba::ForEachPath([&](lba::CpuPath) {
    for (const char* text : texts) {
      for (unsigned seed = 0; seed < 60; ++seed) lba::TestProducts(seed, text);
    }
    lba::TestQuantizedRows();
  });
}
