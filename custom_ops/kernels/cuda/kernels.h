// What an accumulator brings for a CUDA device: the kernels of its kind, queued.
#ifndef LBA_KERNELS_CUDA_KERNELS_H_
#define LBA_KERNELS_CUDA_KERNELS_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/conv.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/operand.h"
#include "kernels/cuda/product_parts.h"
#include "kernels/cuda/statistics.h"

namespace lba::cuda {

class Kernels {
 public:
  virtual ~Kernels() = default;

  // Bytes of scratch memory; `has_packed` when the fixed operand comes packed.
  virtual int64_t WorkspaceBytes(const MatMulProblem& problem, bool has_packed) const = 0;
  virtual int64_t WorkspaceBytes(const ConvProblem& problem, bool has_packed) const = 0;
  // Queue the product. `packed` is the fixed operand, or null. Throw CudaError, or std::invalid_argument.
  virtual void MatMul(const MatMulProblem& problem, const PackedOperand* packed, void* workspace,
                      cudaStream_t stream) const = 0;
  virtual void Conv(const ConvProblem& problem, const PackedOperand* packed, void* workspace,
                    cudaStream_t stream) const = 0;
  // Bytes that the fixed operand takes when it is packed, and the kernels that pack it, queued.
  virtual int64_t PackedBytes(const MatrixSource& source) const = 0;
  virtual PackedOperand PackFixed(const MatrixSource& source, void* memory, cudaStream_t stream) const = 0;
  // As CountMatMul and CountConv.
  virtual Counts CountMatMul(const LbaCudaMatMulArgs& args, int64_t call, double sampled_fraction,
                             cudaStream_t stream) const = 0;
  virtual Counts CountConv(const ConvShape& shape, const Values& x, const Values& w, int64_t call,
                           double sampled_fraction, cudaStream_t stream) const = 0;
};

// What the kernels of a Kind, made from its Spec and a depth, count.
template <class Kind>
class CountingKernels : public Kernels {
 public:
  explicit CountingKernels(const typename Kind::Spec& spec) : spec_(spec) {}

  Counts CountMatMul(const LbaCudaMatMulArgs& args, int64_t call, double sampled_fraction,
                     cudaStream_t stream) const override {
    return cuda::CountMatMul<Kind::kGroups>(Kind::ChainsOf(spec_), spec_.Groups(args.depth), args, call,
                                            sampled_fraction, stream);
  }
  Counts CountConv(const ConvShape& shape, const Values& x, const Values& w, int64_t call, double sampled_fraction,
                   cudaStream_t stream) const override {
    return cuda::CountConv<Kind::kGroups>(Kind::ChainsOf(spec_), spec_.Groups(shape.depth()), shape, x, w, call,
                                          sampled_fraction, stream);
  }

 protected:
  Kind KindOf(int64_t depth) const { return Kind(spec_, depth); }

 private:
  const typename Kind::Spec spec_;
};

// In tiles of packed operands. A Kind is that of tile_plan.h.
template <class Kind>
class KernelsOf : public CountingKernels<Kind> {
 public:
  using CountingKernels<Kind>::CountingKernels;

  int64_t WorkspaceBytes(const MatMulProblem& problem, bool has_packed) const override {
    return MatMulWorkspaceBytes(problem, has_packed);
  }
  int64_t WorkspaceBytes(const ConvProblem& problem, bool has_packed) const override {
    return ConvWorkspaceBytes(problem, has_packed);
  }
  void MatMul(const MatMulProblem& problem, const PackedOperand* packed, void* workspace,
              cudaStream_t stream) const override {
    RunMatMul(this->KindOf(problem.depth()), problem, packed, workspace, stream);
  }
  void Conv(const ConvProblem& problem, const PackedOperand* packed, void* workspace,
            cudaStream_t stream) const override {
    RunConv(this->KindOf(problem.shape.depth()), problem, packed, workspace, stream);
  }
  int64_t PackedBytes(const MatrixSource& source) const override {
    Workspace parts;
    const OperandParts taken(source, &parts, nullptr);
    return parts.used();
  }
  PackedOperand PackFixed(const MatrixSource& source, void* memory, cudaStream_t stream) const override {
    Workspace parts(memory);
    const OperandParts taken(source, &parts, stream);
    return Pack(this->KindOf(source.depth), source, nullptr, taken.facts, taken.values, stream);
  }
};

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_KERNELS_H_
