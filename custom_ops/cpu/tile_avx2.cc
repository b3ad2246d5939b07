// AVX2: scaled float32 under FpMode::kTowardZeroFlush (docs/design.md, "The scaled float32 kernel").
#if defined(__x86_64__)

#include <immintrin.h>

#include "cpu/tile_kernel.h"

namespace lba {
namespace {

template <ProductStep kProduct, bool kSaturatesPartialSum>
class Avx2 {
 public:
  using V = __m256;
  static constexpr int kLanes = 8, kRows = 4, kVectors = 2, kDirectVectors = 8;

  explicit Avx2(const TileConstants& c)
      : product_max_(_mm256_set1_ps(c.product_max)),
        accumulator_max_(_mm256_set1_ps(c.accumulator_max)),
        product_to_accumulator_(_mm256_set1_ps(c.product_to_accumulator)),
        product_kept_(Bits(c.product_kept_bits)),
        accumulator_kept_(Bits(c.accumulator_kept_bits)),
        unscale0_(_mm256_set1_ps(c.unscale[0])),
        unscale1_(_mm256_set1_ps(c.unscale[1])) {}

  static V Zero() { return _mm256_setzero_ps(); }
  static V Load(const float* p) { return _mm256_loadu_ps(p); }
  static V Broadcast(const float* p) { return _mm256_set1_ps(*p); }

  V Step(V sum, V x, V w) const {
    V next;
    if constexpr (kProduct == ProductStep::kFused) {
      next = _mm256_fmadd_ps(x, w, sum);
    } else {
      next = _mm256_fmadd_ps(Product(x, w), product_to_accumulator_, sum);
    }
    next = _mm256_and_ps(next, accumulator_kept_);
    if constexpr (kSaturatesPartialSum) next = Saturate(next, accumulator_max_);
    return next;
  }

  V Join(V total, V sum) const {
    return Saturate(_mm256_and_ps(_mm256_add_ps(total, sum), accumulator_kept_), accumulator_max_);
  }

  void Store(float* out, V total) const {
    const V value = _mm256_mul_ps(_mm256_mul_ps(total, unscale0_), unscale1_);
    _mm256_storeu_ps(out, _mm256_add_ps(value, _mm256_setzero_ps()));  // -0 + 0 = +0
  }

 private:
  static V Bits(uint32_t bits) { return _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(bits))); }

  static V Saturate(V value, V max) {
    const V min = _mm256_sub_ps(_mm256_setzero_ps(), max);
    return _mm256_max_ps(_mm256_min_ps(value, max), min);
  }

  V Product(V x, V w) const {
    V product = _mm256_mul_ps(x, w);
    if constexpr (kProduct != ProductStep::kExact) product = _mm256_and_ps(product, product_kept_);
    if constexpr (kProduct == ProductStep::kSaturate) product = Saturate(product, product_max_);
    return product;
  }

  V product_max_, accumulator_max_, product_to_accumulator_, product_kept_, accumulator_kept_, unscale0_, unscale1_;
};

}  // namespace

const TileKernels& Avx2Kernels() {
  static const TileKernels kernels = MakeScaledKernels<Avx2>(CpuPath::kAvx2, TileExtremes<Doubles4>);
  return kernels;
}

ScalePanelKernel Avx2ScalePanel() { return ScalePanel; }

}  // namespace lba

#endif  // __x86_64__
