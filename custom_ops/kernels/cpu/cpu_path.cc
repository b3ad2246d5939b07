#include "kernels/cpu/cpu_path.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "kernels/cpu/cpu_features.h"

namespace lba {
namespace {

std::atomic<int64_t> tiles_counted[kCpuPaths];

bool IsSupported(CpuPath path) {
  switch (path) {
    case CpuPath::kAvx512:
      return ThisCpu().avx512;
    case CpuPath::kAvx2:
      return ThisCpu().avx2;
    default:
      return true;
  }
}

CpuPath FastestPath() {
  static const CpuPath fastest = [] {
    if (IsSupported(CpuPath::kAvx512)) return CpuPath::kAvx512;
    if (IsSupported(CpuPath::kAvx2)) return CpuPath::kAvx2;
    return CpuPath::kPortable;
  }();
  return fastest;
}

}  // namespace

const char* CpuPathName(CpuPath path) {
  static const char* const names[kCpuPaths] = {"avx512", "avx2", "portable", "exact"};
  return names[static_cast<int>(path)];
}

CpuPath SelectedCpuPath() {
  const char* forced = std::getenv("LBA_ONNX_CPU_PATH");
  if (forced == nullptr || *forced == '\0') return FastestPath();
  for (int i = 0; i < kCpuPaths; ++i) {
    const CpuPath path = static_cast<CpuPath>(i);
    if (std::string(forced) != CpuPathName(path)) continue;
    if (!IsSupported(path)) {
      throw std::invalid_argument(std::string("LBA_ONNX_CPU_PATH: this CPU has no ") + forced);
    }
    return path;
  }
  throw std::invalid_argument(std::string("LBA_ONNX_CPU_PATH: expected avx512, avx2, portable or exact, got \"") +
                              forced + "\"");
}

void CountTiles(CpuPath path, int64_t tiles) {
  tiles_counted[static_cast<int>(path)].fetch_add(tiles, std::memory_order_relaxed);
}

int64_t TilesCounted(CpuPath path) { return tiles_counted[static_cast<int>(path)].load(std::memory_order_relaxed); }

}  // namespace lba
