#include "onnxruntime/cuda_node.h"

namespace lba::ort {

CudaNode::CudaNode(const Node& node)
    : cuda_(OpenCudaLibrary()),
      accumulator_(ReadAccumulator(node.attributes())),
      cuda_accumulator_(MakeCudaAccumulator(cuda_, accumulator_->text())),
      statistics_(ReadStatistics(node.attributes())),
      scratch_(cuda_, node.scratch_api()) {}

template <typename Args, typename Workspace, typename Product, typename Statistics>
void CudaNode::RunWith(const Call& call, const Args& args, const CudaWeights& weights, bool has_products,
                       Workspace workspace, Product product, Statistics statistics) const {
  void* stream = call.CudaStream();
  int64_t bytes = 0;
  cuda_.Check(workspace(cuda_accumulator_.get(), &args, weights.get(), &bytes));
  scratch_.Use(call, stream, bytes, [&](void* memory) {
    cuda_.Check(product(cuda_accumulator_.get(), &args, weights.get(), memory, bytes, stream));
  });
  if (statistics_ == nullptr || !has_products) return;
  const int64_t number = statistics_->NextCall(*accumulator_);
  Counts counts(accumulator_->levels().size());
  LbaStatistics filled{0, 0, static_cast<int64_t>(counts.levels.size()), counts.levels.data()};
  cuda_.Check(statistics(cuda_accumulator_.get(), &args, number, statistics_->sampled_fraction(), &filled, stream));
  counts.outputs = filled.outputs;
  counts.sampled_outputs = filled.sampled_outputs;
  statistics_->Merge(counts);
}

void CudaNode::Run(const Call& call, const LbaCudaMatMulArgs& args, const CudaWeights& weights) const {
  RunWith(call, args, weights, args.depth > 0, cuda_.matmul_workspace, cuda_.matmul, cuda_.matmul_statistics);
}

void CudaNode::Run(const Call& call, const LbaCudaConvArgs& args, const CudaWeights& weights) const {
  RunWith(call, args, weights, args.in_channels > 0, cuda_.conv_workspace, cuda_.conv, cuda_.conv_statistics);
}

Tensor ConstantWeights(const Node& node, size_t index) {
  const Tensor tensor = node.ConstantInput(index);
  if (tensor.is_present()) RequireRank(tensor);
  return tensor.data == nullptr || tensor.count() == 0 ? Tensor{} : tensor;
}

}  // namespace lba::ort
