#include "kernels/cpu/cpu_path.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include <atomic>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace lba {
namespace {

std::atomic<int64_t> tiles_counted[kCpuPaths];

#if defined(__x86_64__)
// __builtin_cpu_supports knows it from some compilers' newer versions on only.
bool HasFloat16Conversions() {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}
#endif

bool IsSupported(CpuPath path) {
#if defined(__x86_64__)
  if (path == CpuPath::kAvx512) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  }
  if (path == CpuPath::kAvx2)
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && HasFloat16Conversions();
#else
  if (path == CpuPath::kAvx512 || path == CpuPath::kAvx2) return false;
#endif
  return true;
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
