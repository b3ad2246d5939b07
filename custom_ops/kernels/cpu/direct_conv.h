// Convolution of groups with few filters, depthwise above all, from a padded copy of the input.
#ifndef LBA_KERNELS_CPU_DIRECT_CONV_H_
#define LBA_KERNELS_CPU_DIRECT_CONV_H_

#include "kernels/cpu/packed_filter.h"
#include "kernels/cpu/starts.h"
#include "lba/conv.h"
#include "lba/parallel.h"

namespace lba {

// y gets the dot products; the bias is the caller's.
void DirectConv(const Planner& planner, const ConvShape& shape, const float* x, const float* w,
                const PackedFilter& filter, const RoundedStarts& starts, float* y, const Parallel& parallel,
                double share);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_DIRECT_CONV_H_
