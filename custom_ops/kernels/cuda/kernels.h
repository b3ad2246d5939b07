// What an accumulator brings for a CUDA device: the kernels of its kind, queued.
#ifndef LBA_KERNELS_CUDA_KERNELS_H_
#define LBA_KERNELS_CUDA_KERNELS_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/conv.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/operand.h"
#include "kernels/cuda/statistics.h"

namespace lba::cuda {

class Kernels {
 public:
  virtual ~Kernels() = default;

  // As RunMatMul and RunConv.
  virtual void MatMul(const MatMulProblem& problem, const PackedOperand* packed, void* workspace,
                      cudaStream_t stream) const = 0;
  virtual void Conv(const ConvProblem& problem, const PackedOperand* packed, void* workspace,
                    cudaStream_t stream) const = 0;
  // As Pack, of the fixed operand.
  virtual PackedOperand PackFixed(const MatrixSource& source, PanelFacts* facts, float* values,
                                  cudaStream_t stream) const = 0;
  // As CountMatMul and CountConv.
  virtual Counts CountMatMul(const LbaCudaMatMulArgs& args, int64_t call, double sampled_fraction,
                             cudaStream_t stream) const = 0;
  virtual Counts CountConv(const ConvShape& shape, const Values& x, const Values& w, int64_t call,
                           double sampled_fraction, cudaStream_t stream) const = 0;
};

// A Kind is that of tile_plan.h, made from its Spec and a depth.
template <class Kind>
class KernelsOf : public Kernels {
 public:
  explicit KernelsOf(const typename Kind::Spec& spec) : spec_(spec) {}

  void MatMul(const MatMulProblem& problem, const PackedOperand* packed, void* workspace,
              cudaStream_t stream) const override {
    RunMatMul(Kind(spec_, problem.depth()), problem, packed, workspace, stream);
  }
  void Conv(const ConvProblem& problem, const PackedOperand* packed, void* workspace,
            cudaStream_t stream) const override {
    RunConv(Kind(spec_, problem.shape.depth()), problem, packed, workspace, stream);
  }
  PackedOperand PackFixed(const MatrixSource& source, PanelFacts* facts, float* values,
                          cudaStream_t stream) const override {
    return Pack(Kind(spec_, source.depth), source, nullptr, facts, values, stream);
  }
  Counts CountMatMul(const LbaCudaMatMulArgs& args, int64_t call, double sampled_fraction,
                     cudaStream_t stream) const override {
    const Kind kind(spec_, args.depth);
    return cuda::CountMatMul(kind.chains(), spec_.Groups(args.depth), args, call, sampled_fraction, stream);
  }
  Counts CountConv(const ConvShape& shape, const Values& x, const Values& w, int64_t call, double sampled_fraction,
                   cudaStream_t stream) const override {
    const Kind kind(spec_, shape.depth());
    return cuda::CountConv(kind.chains(), spec_.Groups(shape.depth()), shape, x, w, call, sampled_fraction, stream);
  }

 private:
  const typename Kind::Spec spec_;
};

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_KERNELS_H_
