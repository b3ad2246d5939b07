// The loop over the lanes of lines. Include it only from files that are compiled for one instruction set.
#ifndef LBA_KERNELS_CPU_INTEGERS_LINES_KERNEL_H_
#define LBA_KERNELS_CPU_INTEGERS_LINES_KERNEL_H_

#include <cstdint>

#include "kernels/cpu/integers/finish_kernel.h"
#include "kernels/cpu/integers/lines.h"

namespace lba {
namespace {  // each instruction set has its own copy

// kSum(args, codes, sums): the sums of kTileLanes lanes, the first of which is at `codes`.
template <class Vectors, void (*kSum)(const LinesArgs&, const uint8_t*, int32_t*)>
void RunLines(const LinesArgs& args) {
  alignas(64) int32_t sums[kTileLanes];
  for (int64_t lane = 0; lane < args.lanes; lane += kTileLanes) {
    kSum(args, args.codes + lane, sums);
    FinishIntegerRow<Vectors>(*args.finish, sums, static_cast<uint8_t*>(args.out) + lane * args.item_bytes);
  }
}

int32_t WeightsOf(const LinesArgs& args, int64_t element) {
  int32_t weights;
  std::memcpy(&weights, static_cast<const uint8_t*>(args.weights) + element * 4, sizeof weights);
  return weights;
}

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_LINES_KERNEL_H_
