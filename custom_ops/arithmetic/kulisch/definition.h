// One exact sum of products, rounded once.
#ifndef LBA_ARITHMETIC_KULISCH_DEFINITION_H_
#define LBA_ARITHMETIC_KULISCH_DEFINITION_H_

#include "arithmetic/chunked_float/ruled_definition.h"
#include "arithmetic/kulisch/wide_sum.h"

namespace lba {

// In the format of a result (ResultFormat::constants) what is exact, or rounded to odd to 53 bits.
LBA_HOST_DEVICE inline float RoundedResult(double odd, const RuledConstants& result) {
  return static_cast<float>(RuledOutput(result, {}).Join(0, odd, 1, 0));
}

LBA_HOST_DEVICE inline float RoundedResult(const WideSum& sum, const RuledConstants& result) {
  return RoundedResult(sum.ToOdd(), result);
}

}  // namespace lba

#endif  // LBA_ARITHMETIC_KULISCH_DEFINITION_H_
