#if defined(__x86_64__)

#include "arithmetic/stochastic/stochastic_tile.h"
#include "kernels/cpu/avx2.h"

namespace lba {
namespace {

struct Avx2WithIntegers : Avx2 {
  using Integers = __m256i;
  static constexpr int kStochasticRows = 2;

  struct ToTheLeft {
    __m128i bits;
    Integers operator()(Integers word) const { return _mm256_sll_epi32(word, bits); }
  };
  struct ToTheRight {
    __m128i bits;
    Integers operator()(Integers word) const { return _mm256_srl_epi32(word, bits); }
  };
  template <class Function>
  static void WithShift(int left, const Function& function) {
    if (left >= 0) return function(ToTheLeft{_mm_cvtsi32_si128(left)});
    function(ToTheRight{_mm_cvtsi32_si128(-left)});
  }

  static Integers LoadIntegers(const uint32_t* p) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); }
  static Integers SetInteger(uint32_t value) { return _mm256_set1_epi32(static_cast<int>(value)); }
  static Integers Xor(Integers a, Integers b) { return _mm256_xor_si256(a, b); }
  static Integers AndIntegers(Integers a, Integers b) { return _mm256_and_si256(a, b); }
  static Integers AddIntegers(Integers a, Integers b) { return _mm256_add_epi32(a, b); }
  static Integers MultiplyLow(Integers a, Integers b) { return _mm256_mullo_epi32(a, b); }
  template <int kBits>
  static Integers ShiftRight(Integers a) {
    return _mm256_srli_epi32(a, kBits);
  }
  static V AddToBits(V v, Integers bits) { return _mm256_castsi256_ps(AddIntegers(_mm256_castps_si256(v), bits)); }
  static V KeepBits(V v, Integers bits) { return _mm256_castsi256_ps(AndIntegers(_mm256_castps_si256(v), bits)); }
};

}  // namespace

const TileKernels& StochasticAvx2Kernels(StochasticProducts products) {
  return StochasticKernels<Avx2WithIntegers>(CpuPath::kAvx2, products);
}

}  // namespace lba

#endif  // __x86_64__
