// What the sums of a product start from, as its kernels read it: rounded to the accumulator, and its range known.
#ifndef LBA_KERNELS_CPU_STARTS_H_
#define LBA_KERNELS_CPU_STARTS_H_

#include <array>
#include <cstdint>
#include <functional>

#include "common/random_bits.h"
#include "common/value_range.h"
#include "kernels/cpu/panel.h"
#include "kernels/cpu/planner.h"
#include "lba/parallel.h"
#include "lba/starts.h"

namespace lba {

// Throws std::invalid_argument where sums of the planner's kind start from zero alone.
void RequireStarts(const Planner& planner);

// Of a product of vectors that move and vectors that are fixed, as PanelSources have them.
struct ProductStarts {
  const float* data = nullptr;        // null: sums start from zero
  const ValueRange* range = nullptr;  // of all of the call, before they were rounded
  int64_t period = 1;                 // moving vectors of one image, or of one matrix
  int64_t period_stride = 0, moving_stride = 0, fixed_stride = 0;

  const float& At(int64_t moving, int64_t fixed) const {
    return data[moving / period * period_stride + moving % period * moving_stride + fixed * fixed_stride];
  }
  // out[i * moving_step + j * fixed_step] = the start of vectors moving + i and fixed + j, times a power of two.
  void Copy(int64_t moving, int moving_count, int64_t moving_step, int64_t fixed, int fixed_count, int64_t fixed_step,
            double scale, float* out) const;
};

// The product of matrices `entry`, whose rows move; the convolution of filters from `first_channel` on, whose patches
// move.
ProductStarts OfMatrix(const Starts& starts, int64_t entry, int64_t rows);
ProductStarts OfFilters(const Starts& starts, int64_t first_channel, int64_t positions);

// The variant of a tile's kernel, as the planner has it.
int VariantOf(const Planner& planner, const ProductStarts& starts, const PanelBounds& moving, const PanelBounds& fixed,
              bool is_fused);

// Values rounded to the accumulator of a planner: each once, or one for each output where these differ by their place.
class RoundedStarts {
 public:
  using PlaceOf = std::function<Place(const std::array<int64_t, 3>& index)>;

  // Throws std::invalid_argument where sums of the planner's kind start from zero alone. `sizes`: of the outputs.
  RoundedStarts(const Planner& planner, const Starts& starts, const std::array<int64_t, 3>& sizes, int64_t depth,
                const PlaceOf& place, const Parallel& parallel);

  ProductStarts OfMatrix(int64_t entry, int64_t rows) const { return Ranged(lba::OfMatrix(values_, entry, rows)); }
  ProductStarts OfFilters(int64_t first_channel, int64_t positions) const {
    return Ranged(lba::OfFilters(values_, first_channel, positions));
  }

 private:
  ProductStarts Ranged(ProductStarts starts) const {
    starts.range = &range_;
    return starts;
  }

  AlignedFloats rounded_;
  Starts values_;
  ValueRange range_;  // before they were rounded
};

// y, contiguous: the sums of no products.
void SumNothing(const Planner& planner, const Starts& starts, const std::array<int64_t, 3>& sizes,
                const RoundedStarts::PlaceOf& place, float* y);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_STARTS_H_
