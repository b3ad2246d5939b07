#if defined(__x86_64__)
#include <immintrin.h>

#include "kernels/cpu/integers/finish_kernel.h"
#include "kernels/cpu/integers/lines_kernel.h"
#include "kernels/cpu/integers/path.h"
#include "kernels/cpu/integers/tile_kernel.h"

namespace lba {
namespace {

struct Vector512 {
  using V = __m512i;
  static constexpr int kVectors = 4;

  static V Load(const void* values) { return _mm512_loadu_si512(values); }
  static V Set32(int32_t value) { return _mm512_set1_epi32(value); }
  static V Set16(int16_t value) { return _mm512_set1_epi16(value); }
  static V Add32(V a, V b) { return _mm512_add_epi32(a, b); }
  static V And(V a, V b) { return _mm512_and_si512(a, b); }
  static V Min32(V a, V b) { return _mm512_min_epi32(a, b); }
  static V Max32(V a, V b) { return _mm512_max_epi32(a, b); }
  static V Madd(V a, V b) { return _mm512_madd_epi16(a, b); }
  static V Add16(V a, V b) { return _mm512_add_epi16(a, b); }
  static V AddSaturating16(V a, V b) { return _mm512_adds_epi16(a, b); }
  static V Multiply16(V a, V b) { return _mm512_mullo_epi16(a, b); }
  static V Min16(V a, V b) { return _mm512_min_epi16(a, b); }
  static V Max16(V a, V b) { return _mm512_max_epi16(a, b); }
};

// In assembly, which adds in place: compilers copy the sums around their intrinsics.
__m512i AddBytes(__m512i sum, __m512i x, __m512i w) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(x), "v"(w));
  return sum;
}
__m512i AddWords(__m512i sum, __m512i a, __m512i b) {
  asm("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
}
__m512i AddWordsSaturating(__m512i sum, __m512i a, __m512i b) {
  asm("vpdpwssds %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
}

template <bool kLanesAreX>
struct SumBytes : DwordStep<Vector512> {
  explicit SumBytes(const TileConstants&) {}
  __m512i Add(__m512i sum, __m512i lane, __m512i row) const {
    return kLanesAreX ? AddBytes(sum, lane, row) : AddBytes(sum, row, lane);
  }
};

template <bool kLanesAreX>
struct SaturatePairs : DwordStep<Vector512> {
  __m512i ones = _mm512_set1_epi16(1);
  explicit SaturatePairs(const TileConstants&) {}
  __m512i Add(__m512i sum, __m512i lane, __m512i row) const {
    const __m512i pairs = kLanesAreX ? _mm512_maddubs_epi16(lane, row) : _mm512_maddubs_epi16(row, lane);
    return AddWords(sum, pairs, ones);
  }
};

struct Scaled : DwordStep<Vector512> {
  explicit Scaled(const TileConstants&) {}
  __m512i Add(__m512i sum, __m512i lane, __m512i row) const { return AddWordsSaturating(sum, lane, row); }
};

// Four lines of bytes become dwords: those of a quarter of the lanes lie in one quarter of each vector.
struct Interleaved512 {
  __m512i dwords[4];

  Interleaved512(__m512i first, __m512i second, __m512i third, __m512i fourth) {
    const __m512i low_ab = _mm512_unpacklo_epi8(first, second), high_ab = _mm512_unpackhi_epi8(first, second);
    const __m512i low_cd = _mm512_unpacklo_epi8(third, fourth), high_cd = _mm512_unpackhi_epi8(third, fourth);
    dwords[0] = _mm512_unpacklo_epi16(low_ab, low_cd);
    dwords[1] = _mm512_unpackhi_epi16(low_ab, low_cd);
    dwords[2] = _mm512_unpacklo_epi16(high_ab, high_cd);
    dwords[3] = _mm512_unpackhi_epi16(high_ab, high_cd);
  }
};

// Lanes stay in their order: within each quarter of a vector, loads put the dwords that the interleaving parts.
void Interleave512(LaneLines* lines, int64_t place, uint8_t flip, uint8_t* out) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i flips = _mm512_set1_epi8(static_cast<char>(flip));
  const __mmask64 readable = ~uint64_t{0} >> (kTileLanes - lines->count());
  const auto load = [&](int64_t at) {
    const uint8_t* line = lines->InPlace(at);
    if (line == nullptr) return flips;  // any codes
    const __m512i codes = _mm512_maskz_loadu_epi8(readable, line);
    return _mm512_permutexvar_epi32(order, _mm512_xor_si512(codes, flips));
  };
  const Interleaved512 lanes(load(place), load(place + 1), load(place + 2), load(place + 3));
  for (int i = 0; i < 4; ++i) _mm512_storeu_si512(out + 64 * i, lanes.dwords[i]);
}

// Products of four taps at once. Sums come back into the order of the lanes: quarter i of vector k to quarter k of
// vector i.
void SumLines512(const LinesArgs& args, const uint8_t* codes, int32_t* sums) {
  const __m512i flips = _mm512_set1_epi8(static_cast<char>(args.flip));
  const auto load = [&](int64_t tap) { return _mm512_xor_si512(_mm512_loadu_si512(codes + args.offsets[tap]), flips); };
  __m512i totals[4] = {};
  for (int64_t element = 0; element < args.elements; ++element) {
    const int64_t tap = 4 * element;
    const Interleaved512 lanes(load(tap), load(tap + 1), load(tap + 2), load(tap + 3));
    const __m512i weights = _mm512_set1_epi32(WeightsOf(args, element));
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) totals[i] = AddBytes(totals[i], lanes.dwords[i], weights);
  }
  const __m512i low_01 = _mm512_shuffle_i32x4(totals[0], totals[1], 0x44);
  const __m512i low_23 = _mm512_shuffle_i32x4(totals[2], totals[3], 0x44);
  const __m512i high_01 = _mm512_shuffle_i32x4(totals[0], totals[1], 0xee);
  const __m512i high_23 = _mm512_shuffle_i32x4(totals[2], totals[3], 0xee);
  _mm512_storeu_si512(sums, _mm512_shuffle_i32x4(low_01, low_23, 0x88));
  _mm512_storeu_si512(sums + 16, _mm512_shuffle_i32x4(low_01, low_23, 0xdd));
  _mm512_storeu_si512(sums + 32, _mm512_shuffle_i32x4(high_01, high_23, 0x88));
  _mm512_storeu_si512(sums + 48, _mm512_shuffle_i32x4(high_01, high_23, 0xdd));
}

struct LaneVectors {
  typedef int32_t Ints __attribute__((vector_size(64)));
  typedef uint32_t Bits __attribute__((vector_size(64)));
  typedef float Floats __attribute__((vector_size(64)));
  typedef uint8_t Codes __attribute__((vector_size(16)));

  static Codes Narrow(Bits values) { return __builtin_convertvector(values, Codes); }
};

template <class Step>
StepKernels Alike(CodeLayout layout) {
  return {layout, RunIntegerTile<Vector512, Step>, RunIntegerTile<Vector512, Step>};
}

}  // namespace

const IntegerKernels& Vnni512IntegerKernels() {
  static const IntegerKernels kernels{
      CpuPath::kAvx512,
      {{CodeLayout::kBytes, RunIntegerTile<Vector512, SumBytes<true>>, RunIntegerTile<Vector512, SumBytes<false>>},
       {CodeLayout::kBytes, RunIntegerTile<Vector512, SaturatePairs<true>>,
        RunIntegerTile<Vector512, SaturatePairs<false>>},
       Alike<Clamp<Vector512>>(CodeLayout::kSingles),
       Alike<Scaled>(CodeLayout::kSingles),
       Alike<ClampWords<Vector512>>(CodeLayout::kWords),
       Alike<WrapWords<Vector512>>(CodeLayout::kWords)},
      FinishIntegerRow<LaneVectors>,
      LayOutLanes<Interleave512>,
      RunLines<LaneVectors, SumLines512>};
  return kernels;
}

}  // namespace lba
#endif
