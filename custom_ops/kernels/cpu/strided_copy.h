// Copies of short pieces of image rows: four values at a time, without a call.
#ifndef LBA_KERNELS_CPU_STRIDED_COPY_H_
#define LBA_KERNELS_CPU_STRIDED_COPY_H_

#include <cstdint>
#include <cstring>

namespace lba {

typedef float Float4 __attribute__((vector_size(16)));

inline Float4 LoadFour(const float* values) {
  Float4 four;
  std::memcpy(&four, values, sizeof four);
  return four;
}

// out[i] = from[i * stride] for i < count; reads nothing behind from[(count - 1) * stride].
inline void CopyStrided(const float* from, int64_t stride, int64_t count, float* out) {
  int64_t i = 0;
  if (stride == 1) {
    for (; i + 4 <= count; i += 4) std::memcpy(out + i, from + i, sizeof(Float4));
  } else if (stride == 2) {
    for (; i + 4 < count; i += 4) {
      const Float4 low = LoadFour(from + 2 * i), high = LoadFour(from + 2 * i + 4);
      const Float4 even = {low[0], low[2], high[0], high[2]};
      std::memcpy(out + i, &even, sizeof even);
    }
  }
  for (; i < count; ++i) out[i] = from[i * stride];
}

}  // namespace lba

#endif  // LBA_KERNELS_CPU_STRIDED_COPY_H_
