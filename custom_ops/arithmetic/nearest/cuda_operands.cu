#include "arithmetic/nearest/cuda_steps.h"
#include "kernels/cuda/pack_kernel.h"
#include "kernels/cuda/patch_kernel.h"

namespace lba::cuda {

template PackedOperand Pack(const NearestKind&, const MatrixSource&, const SharedRange*, PanelFacts*, float*,
                            cudaStream_t);
template Patches MakePatches(const NearestKind&, const PatchGeometry&, Values, const PackedOperand&, const PatchMemory&,
                             cudaStream_t);
template PackedOperand Pack(const NearestLevelsKind&, const MatrixSource&, const SharedRange*, PanelFacts*, float*,
                            cudaStream_t);
template Patches MakePatches(const NearestLevelsKind&, const PatchGeometry&, Values, const PackedOperand&,
                             const PatchMemory&, cudaStream_t);

}  // namespace lba::cuda
