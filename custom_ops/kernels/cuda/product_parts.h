// The parts of the scratch memory of products in tiles. Ranges come first, so that they are cleared together.
#ifndef LBA_KERNELS_CUDA_PRODUCT_PARTS_H_
#define LBA_KERNELS_CUDA_PRODUCT_PARTS_H_

#include "kernels/cuda/conv.h"
#include "kernels/cuda/matmul.h"
#include "kernels/cuda/patches.h"
#include "kernels/cuda/workspace.h"

namespace lba::cuda {

// Of one operand that is packed.
struct OperandParts {
  PanelFacts* facts;
  float* values;

  OperandParts(const MatrixSource& source, Workspace* workspace, cudaStream_t stream) {
    facts = workspace->Take<PanelFacts>(FactCount(source));
    workspace->Clear(stream);
    values = workspace->Take<float>(PackedFloats(source));
  }
};

struct MatMulParts {
  PanelFacts *row_facts, *column_facts = nullptr;
  float *row_values, *column_values = nullptr;

  MatMulParts(const MatMulProblem& problem, bool has_packed, Workspace* workspace, cudaStream_t stream) {
    row_facts = workspace->Take<PanelFacts>(FactCount(problem.rows));
    if (!has_packed) column_facts = workspace->Take<PanelFacts>(FactCount(problem.columns));
    workspace->Clear(stream);
    row_values = workspace->Take<float>(PackedFloats(problem.rows));
    if (!has_packed) column_values = workspace->Take<float>(PackedFloats(problem.columns));
  }
};

struct ConvParts {
  PatchMemory patches;
  PanelFacts* weight_facts = nullptr;
  float* weight_values = nullptr;

  ConvParts(const ConvProblem& problem, const PatchGeometry& geometry, bool has_packed, Workspace* workspace,
            cudaStream_t stream) {
    patches.ranges = workspace->Take<SharedRange>(geometry.batch + 1);
    if (!has_packed) weight_facts = workspace->Take<PanelFacts>(FactCount(problem.weights));
    workspace->Clear(stream);
    if (!has_packed) weight_values = workspace->Take<float>(PackedFloats(problem.weights));
    patches.planes = workspace->Take<float>(geometry.has_planes() ? geometry.plane_floats() : 0);
    patches.offset_bytes = workspace->Take<uint32_t>(RoundUp(geometry.depth, kStageDepth));
    patches.taps = workspace->Take<PatchTap>(geometry.depth);
    patches.kernels = workspace->Take<int>(geometry.batch * problem.weights.all_panels());
  }
};

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_PRODUCT_PARTS_H_
