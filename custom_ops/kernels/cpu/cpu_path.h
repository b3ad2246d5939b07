// Which implementation computes a tile.
#ifndef LBA_KERNELS_CPU_CPU_PATH_H_
#define LBA_KERNELS_CPU_CPU_PATH_H_

#include <cstdint>

namespace lba {

enum class CpuPath {
  kAvx512,    // 16 scaled float32 lanes, MXCSR truncates and flushes
  kAvx2,      // 8 of them
  kPortable,  // double, truncating mode: every finite operand and every format
  kExact,     // double, one value at a time: NaN and infinity too
};
constexpr int kCpuPaths = 4;

const char* CpuPathName(CpuPath path);

// The fastest path of this CPU, or the one that the environment variable LBA_ONNX_CPU_PATH names. Throws
// std::invalid_argument for a name that is unknown or that this CPU lacks. Read at each call, so that tests can switch.
CpuPath SelectedCpuPath();

// Counters of tiles computed, for tests that must know that they tested a path.
void CountTiles(CpuPath path, int64_t tiles);
int64_t TilesCounted(CpuPath path);

}  // namespace lba

#endif  // LBA_KERNELS_CPU_CPU_PATH_H_
