// What sums start from in place of zero.
#ifndef LBA_STARTS_H_
#define LBA_STARTS_H_

#include <cstdint>

namespace lba {

// A value for each output, rounded to the accumulator before products are added: [entry, row, column] of a batch of
// matrices, [image, channel, position] of a convolution. Strides count elements, and are 0 where values are broadcast.
struct Starts {
  const float* data = nullptr;  // null: sums start from zero
  int64_t strides[3] = {0, 0, 0};
};

}  // namespace lba

#endif  // LBA_STARTS_H_
