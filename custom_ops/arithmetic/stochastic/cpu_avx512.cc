#if defined(__x86_64__)

#include "arithmetic/stochastic/stochastic_tile.h"
#include "kernels/cpu/avx512.h"

namespace lba {
namespace {

struct Avx512WithIntegers : Avx512 {
  using Integers = __m512i;
  static constexpr int kStochasticRows = 4;

  struct Turn {
    __m512i bits;
    Integers operator()(Integers word) const { return _mm512_rolv_epi32(word, bits); }
  };
  template <class Function>
  static void WithShift(int left, const Function& function) {
    function(Turn{_mm512_set1_epi32(left)});
  }

  static Integers LoadIntegers(const uint32_t* p) { return _mm512_loadu_si512(p); }
  static Integers SetInteger(uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); }
  static Integers Xor(Integers a, Integers b) { return _mm512_xor_si512(a, b); }
  static Integers AndIntegers(Integers a, Integers b) { return _mm512_and_si512(a, b); }
  static Integers AddIntegers(Integers a, Integers b) { return _mm512_add_epi32(a, b); }
  static Integers MultiplyLow(Integers a, Integers b) { return _mm512_mullo_epi32(a, b); }
  template <int kBits>
  static Integers ShiftRight(Integers a) {
    return _mm512_srli_epi32(a, kBits);
  }
  static V AddToBits(V v, Integers bits) { return _mm512_castsi512_ps(AddIntegers(_mm512_castps_si512(v), bits)); }
  static V KeepBits(V v, Integers bits) { return _mm512_castsi512_ps(AndIntegers(_mm512_castps_si512(v), bits)); }
};

}  // namespace

const TileKernels& StochasticAvx512Kernels(StochasticProducts products) {
  return StochasticKernels<Avx512WithIntegers>(CpuPath::kAvx512, products);
}

}  // namespace lba

#endif  // __x86_64__
