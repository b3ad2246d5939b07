// Integer products by the definition, one value at a time: the path "exact", and what all others are tested against.
#ifndef LBA_KERNELS_CPU_INTEGERS_DEFINITION_H_
#define LBA_KERNELS_CPU_INTEGERS_DEFINITION_H_

#include <cstdint>

#include "kernels/cpu/integers/chains.h"

namespace lba {

// The sum in the accumulator, made that of (x - zero point) * (w - zero point) modulo 2^32, or 2^64 of wide sums.
inline int64_t CorrectedSum(const IntegerSums& sums, const Chain& x, const Chain& w, int64_t depth) {
  const int64_t sum = SumChain(sums, x.values.data(), w.values.data(), static_cast<int64_t>(x.values.size()));
  const uint64_t corrections = static_cast<uint64_t>(depth * x.offset * w.offset - w.offset * x.sum - x.offset * w.sum);
  const int64_t corrected = static_cast<int64_t>(static_cast<uint64_t>(sum) + corrections);
  return sums.is_wide() ? corrected : Wrapped(corrected, 32);
}

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_DEFINITION_H_
