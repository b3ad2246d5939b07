#include "lba/integer_product.h"

#include "common/arguments.h"

namespace lba {

const IntegerSums& IntegerSumsOf(const Accumulator& accumulator) {
  Require(accumulator.integers() != nullptr,
          "expected an accumulator of integers for integer operands, such as int16-wrap, got " + accumulator.text());
  return *accumulator.integers();
}

bool HasInt64Sums(const Accumulator& accumulator) { return IntegerSumsOf(accumulator).is_wide(); }

}  // namespace lba
