#if defined(__x86_64__)

#include "kernels/cpu/avx512.h"
#include "kernels/cpu/dequantize_avx512.h"
#include "kernels/cpu/extremes_kernel.h"
#include "kernels/cpu/gradient_kernel.h"
#include "kernels/cpu/open_kernel.h"
#include "kernels/cpu/path_kernels.h"
#include "kernels/cpu/scale_panel.h"

namespace lba {

const PathKernels& Avx512PathKernels() {
  static const PathKernels kernels{ScalePanel, LargestSums<Doubles8>, LargestFloatSums<Floats16>, LargestSums<Doubles8>,
                                   OpenTileBy, TileGradients<Avx512>, Dequantize<SixteenCodes>};
  return kernels;
}

}  // namespace lba

#endif  // __x86_64__
