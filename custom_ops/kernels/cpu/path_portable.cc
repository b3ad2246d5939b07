#include "kernels/cpu/dequantize_kernel.h"
#include "kernels/cpu/extremes_kernel.h"
#include "kernels/cpu/gradient_kernel.h"
#include "kernels/cpu/open_kernel.h"
#include "kernels/cpu/path_kernels.h"
#include "kernels/cpu/scale_panel.h"

namespace lba {

const PathKernels& PortablePathKernels() {
  static const PathKernels kernels{
      ScalePanel, LargestSums<Doubles2>,          LargestFloatSums<Floats4>, LargestSums<Doubles2>,
      OpenTileBy, TileGradients<PortableVectors>, Dequantize<EightCodes>};
  return kernels;
}

}  // namespace lba
