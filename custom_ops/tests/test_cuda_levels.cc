// Statistics of sums of sums on the device, run by the emulation, against a walk.
#include <string>
#include <vector>

#include "kernels/cuda/statistics_kernel.h"
#include "tests/level_walk.h"

namespace lba {
namespace {

cuda::MatrixSource Rows(const std::vector<float>& values, int64_t count, int64_t depth) {
  cuda::StridedIndex one;
  one.rank = 1;
  one.sizes[0] = 1;
  return {{values.data(), false}, one, count, depth, depth, 1};
}

// Kernels are made for a number of groups.
template <int kGroups = kMaxGroups>
Counts Counted(const SumGroups& groups, const cuda::MatrixSource& rows, const cuda::MatrixSource& columns) {
  if constexpr (kGroups > 0) {
    if (groups.count < kGroups) return Counted<kGroups - 1>(groups, rows, columns);
  }
  return cuda::statistics::Count<kGroups>(ChunkedFloatChains{SmallFormats()}, groups, rows, columns, 0, 1.0, nullptr);
}

void CheckLevels(const std::vector<int64_t>& sizes, int64_t depth) {
  const WalkedCase walked(sizes, depth);
  const std::string what = std::to_string(sizes.size()) + " groups, depth " + std::to_string(depth);
  CHECK(depth < 50 || LosesAll(walked.counts), "%s: the operands lose nothing", what.c_str());
  CheckSame(Counted(GroupsOf(sizes), Rows(walked.a, walked.kRows, depth), Rows(walked.b, walked.kColumns, depth)),
            walked.counts, what);
}

}  // namespace
}  // namespace lba

int main() {
  for (const std::vector<int64_t>& sizes : lba::kGroupSizes) {
    for (const int64_t depth : {12, 50, 96}) lba::CheckLevels(sizes, depth);
  }
  return 0;
}
