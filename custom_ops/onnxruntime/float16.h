// float16 values as their bits, converted alike whatever the calling thread's rounding mode is.
#ifndef LBA_ONNXRUNTIME_FLOAT16_H_
#define LBA_ONNXRUNTIME_FLOAT16_H_

#include <cstdint>

namespace lba {

// Exact.
void Float16ToFloat32(const uint16_t* from, int64_t count, float* to);
// One rounding to nearest, ties to even; from 65520 on the result is infinite; NaN stays NaN.
void Float32ToFloat16(const float* from, int64_t count, uint16_t* to);

}  // namespace lba

#endif  // LBA_ONNXRUNTIME_FLOAT16_H_
