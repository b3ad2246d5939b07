// AVX-512: scaled float32 under FpMode::kTowardZeroFlush (docs/design.md, "The scaled float32 kernel").
#if defined(__x86_64__)

#include <immintrin.h>

#include "cpu/tile_kernel.h"

namespace lba {
namespace {

template <ProductStep kProduct, bool kSaturatesPartialSum>
class Avx512 {
 public:
  using V = __m512;
  static constexpr int kLanes = 16, kRows = 8, kVectors = 2, kDirectVectors = 8;

  explicit Avx512(const TileConstants& c)
      : product_max_(_mm512_set1_ps(c.product_max)),
        accumulator_max_(_mm512_set1_ps(c.accumulator_max)),
        product_to_accumulator_(_mm512_set1_ps(c.product_to_accumulator)),
        product_kept_(Bits(c.product_kept_bits)),
        accumulator_kept_(Bits(c.accumulator_kept_bits)),
        unscale0_(_mm512_set1_ps(c.unscale[0])),
        unscale1_(_mm512_set1_ps(c.unscale[1])) {}

  static V Zero() { return _mm512_setzero_ps(); }
  static V Load(const float* p) { return _mm512_loadu_ps(p); }
  static V Broadcast(const float* p) { return _mm512_set1_ps(*p); }

  V Step(V sum, V x, V w) const {
    V next;
    if constexpr (kProduct == ProductStep::kFused) {
      next = _mm512_fmadd_ps(x, w, sum);
    } else {
      next = _mm512_fmadd_ps(Product(x, w), product_to_accumulator_, sum);
    }
    next = _mm512_and_ps(next, accumulator_kept_);
    if constexpr (kSaturatesPartialSum) next = Saturate(next, accumulator_max_);
    return next;
  }

  V Join(V total, V sum) const {
    return Saturate(_mm512_and_ps(_mm512_add_ps(total, sum), accumulator_kept_), accumulator_max_);
  }

  void Store(float* out, V total) const {
    const V value = _mm512_mul_ps(_mm512_mul_ps(total, unscale0_), unscale1_);
    _mm512_storeu_ps(out, _mm512_add_ps(value, _mm512_setzero_ps()));  // -0 + 0 = +0
  }

 private:
  static V Bits(uint32_t bits) { return _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(bits))); }

  // The smaller magnitude with the sign of the first operand.
  static V Saturate(V value, V max) { return _mm512_range_ps(value, max, 2); }

  V Product(V x, V w) const {
    V product = _mm512_mul_ps(x, w);
    if constexpr (kProduct != ProductStep::kExact) product = _mm512_and_ps(product, product_kept_);
    if constexpr (kProduct == ProductStep::kSaturate) product = Saturate(product, product_max_);
    return product;
  }

  V product_max_, accumulator_max_, product_to_accumulator_, product_kept_, accumulator_kept_, unscale0_, unscale1_;
};

}  // namespace

const TileKernels& Avx512Kernels() {
  static const TileKernels kernels = MakeScaledKernels<Avx512>(CpuPath::kAvx512, TileExtremes<Doubles8>);
  return kernels;
}

ScalePanelKernel Avx512ScalePanel() { return ScalePanel; }

}  // namespace lba

#endif  // __x86_64__
