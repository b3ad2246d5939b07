// Chunked floats as a kind of accumulators: what the roundings have in common.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_ACCUMULATOR_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_ACCUMULATOR_H_

#include "arithmetic/accumulator.h"
#include "arithmetic/chunked_float/spec.h"
#include "arithmetic/chunked_float/statistics_chain.h"

namespace lba {

class ChunkedFloat : public Accumulator {
 public:
  explicit ChunkedFloat(const AccumulatorSpec& spec)
      : Accumulator(TextOf(spec), ChunkedFloatLevels(spec)), spec_(spec) {}

  const AccumulatorSpec& spec() const { return spec_; }

 private:
  const AccumulatorSpec spec_;
};

// Each library has its own.
SharedAccumulator MakeChunkedFloat(const AccumulatorSpec& spec);

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_ACCUMULATOR_H_
