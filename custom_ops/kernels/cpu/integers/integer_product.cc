#include "lba/integer_product.h"

#include <stdexcept>
#include <string>

#include "common/arguments.h"
#include "kernels/cpu/integers/chains.h"
#include "kernels/cpu/integers/observation.h"

namespace lba {

const IntegerSums& IntegerSumsOf(const Accumulator& accumulator) {
  Require(accumulator.integers() != nullptr,
          "expected an accumulator of integers for integer operands, such as int16-wrap, got " + accumulator.text());
  return *accumulator.integers();
}

bool HasInt64Sums(const Accumulator& accumulator) { return IntegerSumsOf(accumulator).is_wide(); }

void RequireZeroPoints(const char* name, const Codes& codes, int64_t count) {
  const int32_t least = codes.type == CodeType::kUint8 ? 0 : -128;
  for (int64_t i = 0; i < (codes.has_many_zero_points ? count : 1); ++i) {
    const int32_t zero_point = ZeroPointOf(codes, i);
    if (zero_point >= least && zero_point <= least + 255) continue;  // texts take time
    throw std::invalid_argument(std::string("expected zero points of ") + name + " from " + std::to_string(least) +
                                " to " + std::to_string(least + 255) + ", got " + std::to_string(zero_point));
  }
}

}  // namespace lba
