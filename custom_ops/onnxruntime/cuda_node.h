// What the kernels of the CUDA provider have in common: products on the provider's stream. Nothing waits for them,
// except in a run of statistics, which has to read the counts.
#ifndef LBA_ONNXRUNTIME_CUDA_NODE_H_
#define LBA_ONNXRUNTIME_CUDA_NODE_H_

#include <memory>

#include "onnxruntime/cuda_arguments.h"
#include "onnxruntime/cuda_library.h"
#include "onnxruntime/cuda_scratch.h"
#include "onnxruntime/kernel.h"

namespace lba::ort {

class CudaNode {
 public:
  explicit CudaNode(const Node& node);

  template <typename Args>
  CudaWeights Pack(const Args& args) const {
    return PackOnCuda(cuda_, *cuda_accumulator_, args);
  }
  // Queues the product and counts the call where statistics are kept; `weights` may be null.
  void Run(const Call& call, const LbaCudaMatMulArgs& args, const CudaWeights& weights) const;
  void Run(const Call& call, const LbaCudaConvArgs& args, const CudaWeights& weights) const;

 private:
  template <typename Args, typename Workspace, typename Product, typename Statistics>
  void RunWith(const Call& call, const Args& args, const CudaWeights& weights, bool has_products, Workspace workspace,
               Product product, Statistics statistics) const;

  const CudaLibrary& cuda_;
  SharedAccumulator accumulator_;
  CudaAccumulator cuda_accumulator_;
  std::shared_ptr<StatisticsCollector> statistics_;
  CudaScratch scratch_;
};

// The operand's value in the provider's memory when it is a constant with values; otherwise absent.
Tensor ConstantWeights(const Node& node, size_t index);

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_CUDA_NODE_H_
