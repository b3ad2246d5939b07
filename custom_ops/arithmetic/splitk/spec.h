// Sums by slices of the depth: "splitk4(fp16-fma),sum=float16". Each slice of ceil(depth / slices) products is summed
// by an accumulator of any kind, and these sums in their order, each rounded to the format of the total.
#ifndef LBA_ARITHMETIC_SPLITK_SPEC_H_
#define LBA_ARITHMETIC_SPLITK_SPEC_H_

#include <algorithm>
#include <cstdint>
#include <string>

#include "arithmetic/accumulator.h"
#include "arithmetic/result_format.h"

namespace lba {

struct SplitKSpec {
  int64_t slices = 2;
  SharedAccumulator inner;  // what sums a slice
  ResultFormat total;

  int64_t SliceSize(int64_t depth) const { return std::max<int64_t>((depth + slices - 1) / slices, 1); }
};

class SplitK : public Accumulator {
 public:
  explicit SplitK(const SplitKSpec& spec);

  const SplitKSpec& spec() const { return spec_; }
  SharedAccumulator InSlice(int64_t index) const override;
  bool depends_on_depth() const override { return true; }

 private:
  const SplitKSpec spec_;
};

// Each library has its own.
SharedAccumulator MakeSplitK(const SplitKSpec& spec);

}  // namespace lba

#endif  // LBA_ARITHMETIC_SPLITK_SPEC_H_
