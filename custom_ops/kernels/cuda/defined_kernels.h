// Products by a definition alone, one output a thread: every operand, every order of sums. A Kind, made from its Spec
// and a depth, is copied to the device and brings
//   Dot(place, depth, start, read)   the dot product of an output, which starts from a float: read(k, &x, &w) gives its
//                                    operands
//   ChainsOf(spec), kGroups          for the statistics, on the host
#ifndef LBA_KERNELS_CUDA_DEFINED_KERNELS_H_
#define LBA_KERNELS_CUDA_DEFINED_KERNELS_H_

#include "common/random_bits.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/patches.h"
#include "kernels/cuda/workspace.h"
#include "lba/cuda_api.h"

namespace lba::cuda {
namespace defined {

constexpr int kThreads = 128;

__device__ inline float Finished(const Output& output, float dot, int64_t addend) {
  return output.starts ? dot : output.Finish(dot, addend);
}

// Which output of all a thread computes. Tells the counter of the definition, the last one.
__device__ inline int64_t OutputOfThread(unsigned long long* counters) {
  if (threadIdx.x == 0) atomicAdd(counters + LBA_CUDA_KERNEL_COUNT - 1, 1ull);
  return int64_t{blockIdx.x} * kThreads + threadIdx.x;
}

template <class Kind>
struct MatMulArgs {
  Kind kind;
  MatMulProblem problem;
  int64_t outputs;
  unsigned long long* counters;
};

template <class Kind>
__global__ void __launch_bounds__(kThreads) MatMulKernel(const __grid_constant__ MatMulArgs<Kind> args) {
  const int64_t index = OutputOfThread(args.counters);
  if (index >= args.outputs) return;
  const MatMulProblem& p = args.problem;
  const Place place{index / p.columns.vectors, index % p.columns.vectors};  // rows of all matrices
  const int64_t entry = place.row / p.rows.vectors, row = place.row % p.rows.vectors;
  const int64_t row_offset = p.rows.matrices(p.row_matrices(entry));
  const int64_t column_offset = p.columns.matrices(p.column_matrices(entry));
  const int64_t addend = row * p.addend_row_stride + place.column * p.addend_column_stride;
  const float start = p.output.Start(addend);
  const float dot = args.kind.Dot(place, p.rows.depth, start, [&](int64_t k, float* x, float* w) {
    *x = p.rows.Read(row_offset, row, k);
    *w = p.columns.Read(column_offset, place.column, k);
  });
  p.output.Store(index, Finished(p.output, dot, addend));
}

template <class Kind>
struct ConvArgs {
  Kind kind;
  PatchGeometry geometry;
  Values x;
  MatrixSource weights;
  Output output;
  PatchTap* taps;  // [depth]
  int64_t outputs;
  unsigned long long* counters;
};

template <class Kind>
__global__ void __launch_bounds__(kThreads) TapKernel(const __grid_constant__ ConvArgs<Kind> args) {
  const int64_t k = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (k < args.geometry.depth) args.taps[k] = PatchTap::Of(args.geometry, k);
}

template <class Kind>
__global__ void __launch_bounds__(kThreads) ConvKernel(const __grid_constant__ ConvArgs<Kind> args) {
  const int64_t index = OutputOfThread(args.counters);
  if (index >= args.outputs) return;
  const PatchGeometry& g = args.geometry;
  const int64_t plane = index / g.outputs.size, channels = g.groups * g.filters;
  const Place place{plane / channels * g.outputs.size + index % g.outputs.size, plane % channels};
  const PatchOperands operands(g, args.x, args.taps, args.weights, place.column / g.filters, place.column % g.filters,
                               place.row);
  const float dot = args.kind.Dot(place, g.depth, args.output.Start(place.column), operands);
  args.output.Store(index, Finished(args.output, dot, place.column));
}

}  // namespace defined

// Nothing is packed: values are read where they lie. Counting counts, and makes the Kind (KindOf).
template <class Kind, class Counting = CountingKernels<Kind>>
class DefinedKernels : public Counting {
 public:
  using Counting::Counting;

  int64_t WorkspaceBytes(const MatMulProblem&, bool) const override { return 0; }
  int64_t WorkspaceBytes(const ConvProblem& problem, bool) const override {
    Workspace workspace;
    workspace.Take<PatchTap>(problem.shape.depth());
    return workspace.used();
  }

  void MatMul(const MatMulProblem& problem, const PackedOperand*, void*, cudaStream_t stream) const override {
    const defined::MatMulArgs<Kind> args{this->KindOf(problem.depth()), problem, problem.outputs(), KernelCounters()};
    Launch(defined::MatMulKernel<Kind>, CeilDiv(args.outputs, defined::kThreads), defined::kThreads, stream, args);
  }
  void Conv(const ConvProblem& problem, const PackedOperand*, void* memory, cudaStream_t stream) const override {
    const PatchGeometry geometry(problem.shape);
    const int64_t depth = geometry.depth, outputs = geometry.columns() * geometry.groups * geometry.filters;
    Workspace workspace(memory);
    const defined::ConvArgs<Kind> args{this->KindOf(depth),
                                       geometry,
                                       problem.x,
                                       problem.weights,
                                       problem.output,
                                       workspace.Take<PatchTap>(depth),
                                       outputs,
                                       KernelCounters()};
    Launch(defined::TapKernel<Kind>, CeilDiv(depth, defined::kThreads), defined::kThreads, stream, args);
    Launch(defined::ConvKernel<Kind>, CeilDiv(outputs, defined::kThreads), defined::kThreads, stream, args);
  }

  int64_t PackedBytes(const MatrixSource&) const override { return 0; }
  PackedOperand PackFixed(const MatrixSource&, void*, cudaStream_t) const override { return {}; }
};

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_DEFINED_KERNELS_H_
