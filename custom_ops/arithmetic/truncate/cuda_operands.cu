#include "arithmetic/truncate/cuda_steps.h"
#include "kernels/cuda/pack_kernel.h"
#include "kernels/cuda/patch_kernel.h"

namespace lba::cuda {

template PackedOperand Pack(const TruncatingKind&, const MatrixSource&, const SharedRange*, PanelFacts*, float*,
                            cudaStream_t);
template Patches MakePatches(const TruncatingKind&, const PatchGeometry&, Values, const PackedOperand&,
                             const PatchMemory&, cudaStream_t);
template PackedOperand Pack(const TruncatingLevelsKind&, const MatrixSource&, const SharedRange*, PanelFacts*, float*,
                            cudaStream_t);
template Patches MakePatches(const TruncatingLevelsKind&, const PatchGeometry&, Values, const PackedOperand&,
                             const PatchMemory&, cudaStream_t);

}  // namespace lba::cuda
