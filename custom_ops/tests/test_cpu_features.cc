// What the library finds of the processor against what the operating system says of it.
#include <cstdio>
#include <cstring>
#include <fstream>
#include <initializer_list>
#include <set>
#include <sstream>
#include <string>

#include "kernels/cpu/cpu_features.h"
#include "kernels/cpu/cpu_path.h"
#include "tests/check.h"

namespace {

// The flags of the first processor; none off x86, where an emulator may tell of the processor that it runs on.
std::set<std::string> Flags() {
  std::set<std::string> flags;
#if defined(__x86_64__)
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; flags.empty() && std::getline(cpuinfo, line);) {
    if (line.compare(0, 5, "flags") != 0) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    for (std::string word; words >> word;) flags.insert(word);
  }
#endif
  return flags;
}

bool HasAll(const std::set<std::string>& flags, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (flags.count(name) == 0) return false;
  }
  return true;
}

}  // namespace

int main() {
  const std::set<std::string> flags = Flags();
  const bool avx2 = HasAll(flags, {"avx2", "fma", "f16c"});
  const bool avx512 = avx2 && HasAll(flags, {"avx512f", "avx512dq", "avx512bw", "avx512vl"});
  const bool vnni512 = avx512 && HasAll(flags, {"avx512_vnni"});
  const lba::CpuFeatures& found = lba::ThisCpu();
  CHECK(found.avx2 == avx2, "the system says %d, the library %d", avx2, found.avx2);
  CHECK(found.avx512 == avx512, "the system says %d, the library %d", avx512, found.avx512);
  CHECK(found.vnni512 == vnni512, "the system says %d, the library %d", vnni512, found.vnni512);
  const char* fastest = avx512 ? "avx512" : avx2 ? "avx2" : "portable";
  const char* taken = lba::CpuPathName(lba::SelectedCpuPath());
  CHECK(std::strcmp(taken, fastest) == 0, "expected %s, got %s", fastest, taken);
  std::printf("%s\n", taken);
}
