// Convolution one output at a time, for what the packed convolutions cannot do: with infinite or NaN weights, padding
// is not the same as zeros in the input.
#ifndef LBA_KERNELS_CPU_MASKED_CONV_H_
#define LBA_KERNELS_CPU_MASKED_CONV_H_

#include "kernels/cpu/packed_filter.h"
#include "kernels/cpu/planner.h"
#include "kernels/cpu/starts.h"
#include "lba/conv.h"
#include "lba/parallel.h"

namespace lba {

// A position in the padding makes a product of 0 whatever the weight; a zero of the input times infinity makes NaN.
// True when the packed convolutions, which fill the padding with zeros, would confuse the two.
bool NeedsMask(const ConvShape& shape, const PackedFilter& filter);

bool HasPadding(const ConvShape& shape);

// y gets the dot products, one output at a time, exactly; the bias is the caller's.
void MaskedConv(const Planner& planner, const ConvShape& shape, const float* x, const float* w,
                const RoundedStarts& starts, float* y, const Parallel& parallel, double share);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_MASKED_CONV_H_
