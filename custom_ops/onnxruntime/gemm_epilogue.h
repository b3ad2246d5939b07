// What Gemm does after the dot products.
#ifndef LBA_ONNXRUNTIME_GEMM_EPILOGUE_H_
#define LBA_ONNXRUNTIME_GEMM_EPILOGUE_H_

#include <cstdint>
#include <vector>

namespace lba {

// Element [row, column] of C is data[row * row_stride + column * column_stride]; a stride is 0 where C is broadcast.
struct GemmAddend {
  const float* data = nullptr;  // null: no C
  int64_t row_stride = 0;
  int64_t column_stride = 0;
};

// y = alpha * y + beta * C for y [rows, columns], each multiplication and addition rounded to nearest.
void ApplyGemmEpilogue(float alpha, float beta, const GemmAddend& c, int64_t rows, int64_t columns, float* y);

// The values of C times beta, each rounded to nearest.
void ScaleAddend(float beta, std::vector<float>* values);

}  // namespace lba

#endif  // LBA_ONNXRUNTIME_GEMM_EPILOGUE_H_
