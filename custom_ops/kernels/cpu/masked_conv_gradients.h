// Gradients of a convolution one output position at a time, for what patches filled with zeros cannot do (see
// masked_conv.h).
#ifndef LBA_KERNELS_CPU_MASKED_CONV_GRADIENTS_H_
#define LBA_KERNELS_CPU_MASKED_CONV_GRADIENTS_H_

#include <cstdint>

#include "kernels/cpu/gated_product.h"
#include "lba/conv.h"
#include "lba/gradients.h"

namespace lba {

// One group: rows are its filters, columns the positions of all images. Returns how many products are gated.
int64_t AddMaskedGradients(const Accumulator& accumulator, Estimator estimator, const ConvShape& shape,
                           const GatedProduct& group);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_MASKED_CONV_GRADIENTS_H_
