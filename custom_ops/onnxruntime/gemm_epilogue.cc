#include "onnxruntime/gemm_epilogue.h"

#include "kernels/cpu/fp_environment.h"

namespace lba {
namespace {

// Not inlined, so that nothing moves out of the scope that sets the rounding mode.
__attribute__((noinline)) void Scale(float alpha, int64_t count, float* y) {
  for (int64_t i = 0; i < count; ++i) y[i] *= alpha;
}

__attribute__((noinline)) void AddRow(float beta, const float* c, int64_t stride, int64_t columns, float* y) {
  if (stride == 1) {
    for (int64_t i = 0; i < columns; ++i) y[i] += beta * c[i];
  } else {
    const float addend = beta * c[0];
    for (int64_t i = 0; i < columns; ++i) y[i] += addend;
  }
}

}  // namespace

void ApplyGemmEpilogue(float alpha, float beta, const GemmAddend& c, int64_t rows, int64_t columns, float* y) {
  const FpScope nearest(FpMode::kNearest);
  if (alpha != 1.0f) Scale(alpha, rows * columns, y);
  if (c.data == nullptr || beta == 0.0f) return;
  for (int64_t row = 0; row < rows; ++row) {
    AddRow(beta, c.data + row * c.row_stride, c.column_stride, columns, y + row * columns);
  }
}

void ScaleAddend(float beta, std::vector<float>* values) {
  const FpScope nearest(FpMode::kNearest);
  Scale(beta, static_cast<int64_t>(values->size()), values->data());
}

}  // namespace lba
