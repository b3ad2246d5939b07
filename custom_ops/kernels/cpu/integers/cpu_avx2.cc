#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels/cpu/integers/finish_kernel.h"
#include "kernels/cpu/integers/lines_kernel.h"
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

  static Codes Narrow(Bits values) {
    const __m256i low_bytes = _mm256_set1_epi32(0x0c080400);
    const __m256i bytes = _mm256_shuffle_epi8((__m256i)values, low_bytes);  // of each half, four times
    const __m128i low = _mm256_castsi256_si128(bytes), high = _mm256_extracti128_si256(bytes, 1);
    return (Codes)_mm_cvtsi128_si64(_mm_unpacklo_epi32(low, high));
  }
};

// Products of pairs of taps, of 16 lanes at once.
void SumLines256(const LinesArgs& args, const uint8_t* codes, int32_t* sums) {
  const __m128i flips = _mm_set1_epi8(static_cast<char>(args.flip));
  const __m256i shifts = _mm256_set1_epi16(static_cast<int16_t>(args.shift));
  const auto load = [&](int64_t tap, int lane) {
    const void* line = codes + args.offsets[tap] + lane;
    return _mm_xor_si128(_mm_loadu_si128(static_cast<const __m128i*>(line)), flips);
  };
  const auto multiply = [&](__m128i pairs, __m256i weights) {
    return _mm256_madd_epi16(_mm256_add_epi16(_mm256_cvtepu8_epi16(pairs), shifts), weights);
  };
  for (int lane = 0; lane < kTileLanes; lane += 32) {
    __m256i totals[4] = {};
    for (int64_t element = 0; element < args.elements; ++element) {
      const __m256i weights = _mm256_set1_epi32(WeightsOf(args, element));
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const __m128i first = load(2 * element, lane + 16 * half), second = load(2 * element + 1, lane + 16 * half);
        __m256i* total = totals + 2 * half;
        total[0] = _mm256_add_epi32(total[0], multiply(_mm_unpacklo_epi8(first, second), weights));
        total[1] = _mm256_add_epi32(total[1], multiply(_mm_unpackhi_epi8(first, second), weights));
      }
    }
    std::memcpy(sums + lane, totals, sizeof totals);
  }
}

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
                                      LayOutLanes<InterleaveLines>,
                                      RunLines<LaneVectors, SumLines256>};
  return kernels;
}

}  // namespace lba
#endif
