// The dot products of a node whose float32 operands lie in host memory, computed by this CPU or, offloaded, by a CUDA
// device; the bits are the same. Weights that are constant are packed once, when the node is created.
#ifndef LBA_ONNXRUNTIME_HOST_PRODUCT_H_
#define LBA_ONNXRUNTIME_HOST_PRODUCT_H_

#include <memory>

#include "arithmetic/accumulator.h"
#include "lba/conv.h"
#include "lba/parallel.h"
#include "lba/statistics.h"
#include "onnxruntime/kernel.h"
#include "onnxruntime/matmul_shape.h"

namespace lba::ort {

class HostMatMul {
 public:
  virtual ~HostMatMul() = default;
  // y [batch..., rows, columns], contiguous; `statistics` may be null; all matrices start from the same.
  virtual void Compute(const StridedMatMul& shape, const float* a, const float* b, float* y, const Parallel& parallel,
                       StatisticsCollector* statistics, const Starts& starts = {}) const = 0;
};

class HostConv {
 public:
  virtual ~HostConv() = default;
  // All contiguous; `bias` and `statistics` may be null; starts are a bias: one for each channel.
  virtual void Compute(const ConvShape& shape, const float* x, const float* w, const float* bias, float* y,
                       const Parallel& parallel, StatisticsCollector* statistics, const Starts& starts = {}) const = 0;
};

// constant_b, constant_w: null when they are no constants; otherwise their shape is as of ConstantMatMulB,
// ConstantGemmB or FilterShape.
std::unique_ptr<HostMatMul> MakeHostMatMul(Place place, const SharedAccumulator& accumulator, const StridedMatMul& b,
                                           const float* constant_b);
std::unique_ptr<HostConv> MakeHostConv(Place place, const SharedAccumulator& accumulator, const ConvShape& filter,
                                       const float* constant_w);

std::unique_ptr<HostMatMul> MakeOffloadedMatMul(const SharedAccumulator& accumulator, const StridedMatMul& b,
                                                const float* constant_b);
std::unique_ptr<HostConv> MakeOffloadedConv(const SharedAccumulator& accumulator, const ConvShape& filter,
                                            const float* constant_w);

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_HOST_PRODUCT_H_
