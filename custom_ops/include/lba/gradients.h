// Gradients of products whose accumulator is of low bit-width, by estimators that gate single products
// (docs/numerics.md, "Gradients"). The forward pass is computed again, tile by tile; no mask leaves its tile.
#ifndef LBA_GRADIENTS_H_
#define LBA_GRADIENTS_H_

#include <cstdint>

#include "arithmetic/accumulator.h"
#include "lba/conv.h"
#include "lba/matmul.h"
#include "lba/parallel.h"
#include "lba/starts.h"

namespace lba {

enum class Estimator { kImmediateOverflow, kRecursiveOverflow, kImmediateDifference };

// What sums start from, and where its gradients are written, one for each output in the order of the outputs: that of
// the output, or 0 where it is gated. Null gradients: not wanted.
struct StartGradients {
  Starts starts;
  float* gradients = nullptr;
};

// grad [batch][rows][columns] is the gradient of the product. Adds to grad_a [batch][rows][depth] and to grad_b
// [batch][columns][depth], both contiguous; each may be null. Returns how many products are gated. The order of the
// sums follows from the shape alone.
int64_t AddMatMulGradients(const Accumulator& accumulator, Estimator estimator, const MatMulShape& shape,
                           const float* a, const float* b, const float* grad, float* grad_a, float* grad_b,
                           const Parallel& parallel, const StartGradients& starts = {});

// grad [batch][out_channels][output...] is the gradient of the convolution. Adds to grad_x and grad_w, of the shapes of
// x and w; each may be null. Positions in the padding make products of 0, whatever the weight.
int64_t AddConvGradients(const Accumulator& accumulator, Estimator estimator, const ConvShape& shape, const float* x,
                         const float* w, const float* grad, float* grad_x, float* grad_w, const Parallel& parallel,
                         const StartGradients& starts = {});

}  // namespace lba

#endif  // LBA_GRADIENTS_H_
