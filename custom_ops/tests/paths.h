// Runs a test body under every CPU path that this machine has.
#ifndef LBA_TESTS_PATHS_H_
#define LBA_TESTS_PATHS_H_

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <vector>

#include "kernels/cpu/cpu_path.h"

namespace lba {

// The CPU paths that this machine has; says once which it lacks.
inline const std::vector<CpuPath>& Paths() {
  static const std::vector<CpuPath> paths = [] {
    std::vector<CpuPath> found;
    for (int i = 0; i < kCpuPaths; ++i) {
      setenv("LBA_ONNX_CPU_PATH", CpuPathName(static_cast<CpuPath>(i)), 1);
      try {
        found.push_back(SelectedCpuPath());
      } catch (const std::invalid_argument& error) {
        std::printf("skipped: %s\n", error.what());
      }
    }
    return found;
  }();
  return paths;
}

template <class Body>
void ForEachPath(const Body& body) {
  for (const CpuPath path : Paths()) {
    setenv("LBA_ONNX_CPU_PATH", CpuPathName(path), 1);
    body(path);
  }
  unsetenv("LBA_ONNX_CPU_PATH");
}

}  // namespace lba

#endif  // LBA_TESTS_PATHS_H_
