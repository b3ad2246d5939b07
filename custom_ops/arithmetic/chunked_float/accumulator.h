// Chunked floats as a kind of accumulators: what the roundings have in common.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_ACCUMULATOR_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_ACCUMULATOR_H_

#include "arithmetic/accumulator.h"
#include "arithmetic/chunked_float/spec.h"
#include "arithmetic/chunked_float/statistics_chain.h"

namespace lba {

// Each library has its own.
SharedAccumulator MakeChunkedFloat(const AccumulatorSpec& spec);

class ChunkedFloat : public Accumulator {
 public:
  explicit ChunkedFloat(const AccumulatorSpec& spec)
      : Accumulator(TextOf(spec), ChunkedFloatLevels(spec)), spec_(spec) {}

  const AccumulatorSpec& spec() const { return spec_; }

  // An odd product passes up a tree without being rounded to the accumulator; beside a zero it is.
  bool depends_on_depth() const override { return spec_.tree != 0; }
  // Draws with a seed so much larger.
  SharedAccumulator InSlice(int64_t index) const override {
    if (spec_.rounding != Rounding::kStochastic) return nullptr;
    AccumulatorSpec other = spec_;
    other.seed += static_cast<uint64_t>(index);
    return MakeChunkedFloat(other);
  }

 private:
  const AccumulatorSpec spec_;
};

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_ACCUMULATOR_H_
