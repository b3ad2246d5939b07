#if defined(__x86_64__)

#include "kernels/cpu/avx2.h"
#include "kernels/cpu/dequantize_kernel.h"
#include "kernels/cpu/extremes_kernel.h"
#include "kernels/cpu/gradient_kernel.h"
#include "kernels/cpu/open_kernel.h"
#include "kernels/cpu/path_kernels.h"
#include "kernels/cpu/scale_panel.h"

namespace lba {

const PathKernels& Avx2PathKernels() {
  static const PathKernels kernels{ScalePanel, LargestSums<Doubles4>, LargestFloatSums<Floats8>, LargestSums<Doubles4>,
                                   OpenTileBy, TileGradients<Avx2>,   Dequantize<EightCodes>};
  return kernels;
}

}  // namespace lba

#endif  // __x86_64__
