// What becomes of the sums of a tile: corrections, bias, scale, codes.
#ifndef LBA_KERNELS_CPU_INTEGERS_EPILOGUE_H_
#define LBA_KERNELS_CPU_INTEGERS_EPILOGUE_H_

#include <cstdint>

#include "lba/integer_product.h"

namespace lba {

// Writes `count` results of one column or channel each (channel_step 1), or all of the same (0), from `first` on in y.
template <class Sum>
void WriteResults(const IntegerEpilogue& epilogue, const Sum* sums, int64_t count, int64_t channel,
                  int64_t channel_step, int64_t first, void* y);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_EPILOGUE_H_
