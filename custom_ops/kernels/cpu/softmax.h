// From the scores of a row to its probabilities, in float32; docs/numerics.md ("Attention") has every step.
#ifndef LBA_KERNELS_CPU_SOFTMAX_H_
#define LBA_KERNELS_CPU_SOFTMAX_H_

#include <cstdint>

namespace lba {

// All work in place on `count` values, and take the calling thread's rounding for nearest, subnormals kept.
void ScaleScores(float* scores, int64_t count, float scale);
void CapScores(float* scores, int64_t count, float cap);
void AddBias(float* scores, int64_t count, const float* bias, int64_t stride);

constexpr int64_t kSumLanes = 16;

// The softmax of scores whose first key is `first_key`, modulo kSumLanes, beside a score `sink` that no key has.
void Softmax(float* scores, int64_t count, int64_t first_key, float sink);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_SOFTMAX_H_
