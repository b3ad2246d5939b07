// Runs a test body under every CPU path that this machine has.
#ifndef LBA_TESTS_PATHS_H_
#define LBA_TESTS_PATHS_H_

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include "kernels/cpu/cpu_path.h"

namespace lba {

template <class Body>
void ForEachPath(const Body& body) {
  for (int i = 0; i < kCpuPaths; ++i) {
    const CpuPath path = static_cast<CpuPath>(i);
    setenv("LBA_ONNX_CPU_PATH", CpuPathName(path), 1);
    try {
      SelectedCpuPath();
    } catch (const std::invalid_argument& error) {
      std::printf("skipped: %s\n", error.what());
      continue;
    }
    body(path);
  }
  unsetenv("LBA_ONNX_CPU_PATH");
}

}  // namespace lba

#endif  // LBA_TESTS_PATHS_H_
