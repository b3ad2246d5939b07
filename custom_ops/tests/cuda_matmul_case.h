// Random matrix products.
#ifndef LBA_TESTS_CUDA_MATMUL_CASE_H_
#define LBA_TESTS_CUDA_MATMUL_CASE_H_

#include <string>
#include <vector>

#include "tests/cuda_cases.h"

namespace lba {

inline int64_t DrawSize(Random& random) {
  const int64_t kind = Draw(random, 0, 9);
  return kind == 0 ? Draw(random, 127, 130) : kind == 1 ? Draw(random, 63, 66) : Draw(random, 1, 40);
}

// How an operand [batch...][vectors][depth] lies in memory.
struct Layout {
  int64_t batch_strides[LBA_CUDA_BATCH_RANK]{}, vector_stride, depth_stride, matrix_elements, elements;

  Layout(Random& random, const LbaCudaMatMulArgs& args, int64_t vectors) {
    const bool is_along_depth = OneIn(random, 2);
    const int64_t inner = is_along_depth ? args.depth : vectors, outer = is_along_depth ? vectors : args.depth;
    const int64_t spread = OneIn(random, 4) ? 2 : 1, pitch = inner * spread + (OneIn(random, 3) ? 3 : 0);
    (is_along_depth ? depth_stride : vector_stride) = spread;
    (is_along_depth ? vector_stride : depth_stride) = pitch;
    elements = matrix_elements = pitch * outer;
    for (int i = args.batch_rank - 1; i >= 0; --i) {
      if (OneIn(random, 3)) continue;  // broadcast
      batch_strides[i] = elements;
      elements *= args.batch[i];
    }
  }

  int64_t BatchOffset(const LbaCudaMatMulArgs& args, int64_t entry) const {
    int64_t offset = 0;
    for (int i = args.batch_rank - 1; i >= 0; --i) {
      offset += entry % args.batch[i] * batch_strides[i];
      entry /= args.batch[i];
    }
    return offset;
  }
};

struct MatMulCase {
  uint32_t seed;
  Random random;
  AccumulatorSpec spec;
  bool raises_sums;
  LbaCudaMatMulArgs args{};
  int64_t batch = 1;
  Layout a_layout, b_layout;
  Tensor a, b, c;
  std::string tile;
  Weights weights;

  explicit MatMulCase(uint32_t case_seed)
      : seed(case_seed),
        random(seed),
        spec(DrawSpec(random)),
        raises_sums(OneIn(random, 8)),
        args(DrawArgs(random, raises_sums)),
        a_layout(random, args, args.rows),
        b_layout(random, args, args.columns),
        a(args.type, DrawValues(random, a_layout.elements)),
        b(args.type, DrawValues(random, b_layout.elements)),
        c(args.type, std::vector<float>(args.rows * args.columns)),
        tile(DrawTile(random)),
        weights(static_cast<Weights>(Draw(random, 0, static_cast<int64_t>(Weights::kCount) - 1))) {
    for (int i = 0; i < args.batch_rank; ++i) batch *= args.batch[i];
    std::copy_n(a_layout.batch_strides, LBA_CUDA_BATCH_RANK, args.a_batch_strides);
    std::copy_n(b_layout.batch_strides, LBA_CUDA_BATCH_RANK, args.b_batch_strides);
    args.a_row_stride = a_layout.vector_stride;
    args.a_depth_stride = a_layout.depth_stride;
    args.b_column_stride = b_layout.vector_stride;
    args.b_depth_stride = b_layout.depth_stride;
    DrawAddend();
    if (raises_sums) RaiseSums();
  }

  static LbaCudaMatMulArgs DrawArgs(Random& random, bool raises_sums) {
    LbaCudaMatMulArgs args{};
    args.type = OneIn(random, 3) ? LBA_FLOAT16 : LBA_FLOAT32;
    args.batch_rank = OneIn(random, 3) ? static_cast<int32_t>(Draw(random, 1, 3)) : 0;
    for (int i = 0; i < args.batch_rank; ++i) args.batch[i] = Draw(random, 1, 2);
    args.rows = DrawSize(random);
    args.columns = DrawSize(random);
    args.depth = OneIn(random, 30) ? 0 : DrawSize(random);
    if (OneIn(random, raises_sums ? 2 : 12)) {  // deeper than what a block reads of a panel at a time
      args.rows = Draw(random, 1, 8);
      args.depth = Draw(random, 129, 400);
    }
    args.alpha = args.beta = 1;
    return args;
  }

  // Partial sums that rise to about the accumulator's max_value, as far as the operands' norms permit, and fall again.
  void RaiseSums() {
    if (OneIn(random, 2) && spec.outer_chunks.empty()) spec.chunk_size = 0;
    const FloatFormat& format = spec.accumulator_format;
    const double max_value = std::ldexp(2.0, (1 << format.exponent_bits) - 1 - format.exponent_bias);
    const int64_t chunk = spec.chunk_size == 0 ? args.depth : std::min(spec.chunk_size, args.depth);
    const double height = OneOf<double>(random, {0.7, 1.4, 2, 3});
    const double exact_size = std::sqrt(height * max_value / static_cast<double>(std::max<int64_t>(chunk, 1)));
    // With one mantissa bit in use products are exact.
    const float size = static_cast<float>(OneIn(random, 2) ? exact_size : std::exp2(std::round(std::log2(exact_size))));
    std::fill(a.values.begin(), a.values.end(), size);
    std::fill(b.values.begin(), b.values.end(), size);
    for (int64_t offset = 0; offset < a_layout.elements; offset += a_layout.matrix_elements) {
      for (int64_t row = 0; row < args.rows; ++row) {
        for (int64_t k = 0; k < args.depth; ++k) {
          if (10 * (k % chunk) > 7 * chunk)
            a.values[offset + row * args.a_row_stride + k * args.a_depth_stride] = -size;
        }
      }
    }
    a = Tensor(args.type, a.values);
    b = Tensor(args.type, b.values);
  }

  void DrawAddend() {
    if (!OneIn(random, 3)) return;
    args.alpha = OneOf<float>(random, {1, -0.5f, 1.2345f});
    args.beta = OneOf<float>(random, {1, 0.3f});
    args.c_row_stride = OneOf<int64_t>(random, {0, args.columns});
    args.c_column_stride = OneOf<int64_t>(random, {0, 1});
    c = Tensor(args.type, DrawValues(random, args.rows * args.columns));
    args.c = c.data();
  }

  std::string Text() const {
    return "seed " + std::to_string(seed) + ", " + TextOf(spec) + ", " + std::to_string(batch) + " x " +
           std::to_string(args.rows) + " x " + std::to_string(args.depth) + " x " + std::to_string(args.columns) +
           (args.type == LBA_FLOAT16 ? ", float16" : ", float32") + ", tile \"" + tile + "\", weights " +
           std::to_string(static_cast<int>(weights));
  }

  // By the CPU library, and Gemm's definition. `statistics` is a key, or null.
  std::vector<float> Expected(const char* statistics = nullptr) const {
    std::vector<int64_t> a_offsets, b_offsets;
    for (int64_t i = 0; i < batch; ++i) {
      a_offsets.push_back(a_layout.BatchOffset(args, i));
      b_offsets.push_back(b_layout.BatchOffset(args, i));
    }
    std::vector<float> y(batch * args.rows * args.columns);
    LbaMatMulArgs cpu{};
    cpu.batch = batch;
    cpu.rows = args.rows;
    cpu.columns = args.columns;
    cpu.depth = args.depth;
    cpu.a = a.values.data();
    cpu.a_offsets = a_offsets.data();
    cpu.a_row_stride = args.a_row_stride;
    cpu.a_depth_stride = args.a_depth_stride;
    cpu.b = b.values.data();
    cpu.b_offsets = b_offsets.data();
    cpu.b_depth_stride = args.b_depth_stride;
    cpu.b_column_stride = args.b_column_stride;
    cpu.y = y.data();
    CHECK(lba_matmul(OnCpu(spec), &cpu, 1, statistics) == LBA_OK, "%s: %s", Text().c_str(), lba_last_error());
    for (size_t i = 0; i < y.size(); ++i) {
      const int64_t row = static_cast<int64_t>(i) / args.columns % args.rows, column = i % args.columns;
      y[i] *= args.alpha;
      if (args.c == nullptr) continue;
      y[i] += args.beta * c.values[row * args.c_row_stride + column * args.c_column_stride];
    }
    return y;
  }
};

}  // namespace lba

#endif  // LBA_TESTS_CUDA_MATMUL_CASE_H_
