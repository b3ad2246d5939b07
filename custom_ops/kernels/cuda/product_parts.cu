#include "kernels/cuda/product_parts.h"

namespace lba::cuda {

int64_t MatMulWorkspaceBytes(const MatMulProblem& problem, bool has_packed) {
  Workspace workspace;
  const MatMulParts parts(problem, has_packed, &workspace, nullptr);
  return workspace.used();
}

MatrixSource FiltersOf(const ConvShape& shape, Values w) {
  MatrixSource source;
  source.values = w;
  source.vectors = shape.group_out_channels();
  source.depth = source.vector_stride = shape.depth();
  source.depth_stride = 1;
  source.matrices.rank = 1;
  source.matrices.sizes[0] = shape.groups;
  source.matrices.strides[0] = source.vectors * source.depth;
  return source;
}

int64_t ConvWorkspaceBytes(const ConvProblem& problem, bool has_packed) {
  Workspace workspace;
  const ConvParts parts(problem, PatchGeometry(problem.shape), has_packed, &workspace, nullptr);
  return workspace.used();
}

}  // namespace lba::cuda
