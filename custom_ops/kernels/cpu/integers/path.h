// The kernels of integer products of each CPU path.
#ifndef LBA_KERNELS_CPU_INTEGERS_PATH_H_
#define LBA_KERNELS_CPU_INTEGERS_PATH_H_

#include "kernels/cpu/cpu_path.h"
#include "kernels/cpu/integers/finish.h"
#include "kernels/cpu/integers/lines.h"
#include "kernels/cpu/integers/tile.h"

namespace lba {

struct StepKernels {
  CodeLayout layout;
  IntegerTileKernel lanes_are_x, lanes_are_w;  // null where the path has no such step
};

struct IntegerKernels {
  CpuPath path;  // that counts the tiles
  StepKernels steps[kIntegerSteps];
  FinishRowKernel finish_row;
  LayOutLanesKernel lay_out_lanes;
  LinesKernel sum_lines;  // null where the path has none

  const StepKernels& Of(IntegerStep step) const { return steps[static_cast<int>(step)]; }
};

// Of the selected path; null for the path "exact", which computes the definition. The path "avx512" without VNNI
// computes as "avx2" does.
const IntegerKernels* SelectedIntegerKernels();

// "avx512_vnni", "avx2", "portable" or "exact".
const char* SelectedIntegerPathName();

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_PATH_H_
