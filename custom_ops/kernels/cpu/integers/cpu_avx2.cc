#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels/cpu/integers/finish_kernel.h"
#include "kernels/cpu/integers/path.h"
#include "kernels/cpu/integers/tile_kernel.h"

namespace lba {
namespace {

struct Vector256 {
  using V = __m256i;
  static constexpr int kVectors = 2;

  static V Load(const void* values) { return _mm256_loadu_si256(static_cast<const V*>(values)); }
  static V Set32(int32_t value) { return _mm256_set1_epi32(value); }
  static V Set16(int16_t value) { return _mm256_set1_epi16(value); }
  static V Add32(V a, V b) { return _mm256_add_epi32(a, b); }
  static V And(V a, V b) { return _mm256_and_si256(a, b); }
  static V Min32(V a, V b) { return _mm256_min_epi32(a, b); }
  static V Max32(V a, V b) { return _mm256_max_epi32(a, b); }
  static V Madd(V a, V b) { return _mm256_madd_epi16(a, b); }
  static V Add16(V a, V b) { return _mm256_add_epi16(a, b); }
  static V AddSaturating16(V a, V b) { return _mm256_adds_epi16(a, b); }
  static V Multiply16(V a, V b) { return _mm256_mullo_epi16(a, b); }
  static V Min16(V a, V b) { return _mm256_min_epi16(a, b); }
  static V Max16(V a, V b) { return _mm256_max_epi16(a, b); }
};

template <bool kLanesAreX>
struct SaturatePairs : DwordStep<Vector256> {
  __m256i ones = _mm256_set1_epi16(1);
  explicit SaturatePairs(const TileConstants&) {}
  __m256i Add(__m256i sum, __m256i lane, __m256i row) const {
    const __m256i pairs = kLanesAreX ? _mm256_maddubs_epi16(lane, row) : _mm256_maddubs_epi16(row, lane);
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
  }
};

struct LaneVectors {
  typedef int32_t Ints __attribute__((vector_size(32)));
  typedef uint32_t Bits __attribute__((vector_size(32)));
  typedef float Floats __attribute__((vector_size(32)));
  typedef uint8_t Codes __attribute__((vector_size(8)));
};

template <class Step>
StepKernels Alike(CodeLayout layout) {
  return {layout, RunIntegerTile<Vector256, Step>, RunIntegerTile<Vector256, Step>};
}

}  // namespace

const IntegerKernels& Avx2IntegerKernels() {
  static const IntegerKernels kernels{CpuPath::kAvx2,
                                      {Alike<SumPairs<Vector256>>(CodeLayout::kPairs),
                                       {CodeLayout::kBytes, RunIntegerTile<Vector256, SaturatePairs<true>>,
                                        RunIntegerTile<Vector256, SaturatePairs<false>>},
                                       Alike<Clamp<Vector256>>(CodeLayout::kSingles),
                                       {CodeLayout::kSingles, nullptr, nullptr},
                                       Alike<ClampWords<Vector256>>(CodeLayout::kWords),
                                       Alike<WrapWords<Vector256>>(CodeLayout::kWords)},
                                      FinishIntegerRow<LaneVectors>,
                                      LayOutLanes<InterleaveLines>};
  return kernels;
}

}  // namespace lba
#endif
