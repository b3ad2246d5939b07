// Statistics of sums of sums, any number of them, on every CPU path against a walk.
#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/planner.h"
#include "kernels/cpu/statistics_chain.h"
#include "tests/level_walk.h"
#include "tests/paths.h"

namespace lba {
namespace {

Levels LevelsOf(int partial_sums) {
  return NamedLevels(partial_sums, {"overflow", "underflow"}, {"overflow", "underflow", "swamped"});
}

class GroupedPlanner : public Planner {
 public:
  explicit GroupedPlanner(const SumGroups& groups) : Planner(SumOrder()), groups_(groups) {}

  SumGroups groups() const override { return groups_; }
  std::unique_ptr<ChainFollower> FollowChains() const override {
    return std::make_unique<ChainFollowerOf<ChunkedFloatChains>>(ChunkedFloatChains{SmallFormats()}, groups_,
                                                                 started_sum());
  }
  const TileKernels& KernelsOf(CpuPath) const override { std::abort(); }  // statistics compute no result
  const void* constants(CpuPath) const override { return nullptr; }
  OpenTileKernel open() const override { std::abort(); }

 private:
  const SumGroups groups_;
};

class Grouped : public Accumulator {
 public:
  explicit Grouped(const SumGroups& groups) : Accumulator("grouped", LevelsOf(groups.count)), groups_(groups) {}

  std::shared_ptr<const Planner> PlanOnCpu(int64_t) const override {
    return std::make_shared<const GroupedPlanner>(groups_);
  }

 private:
  const SumGroups groups_;
};

void CheckLevels(const std::vector<int64_t>& sizes, int64_t depth, CpuPath path) {
  const WalkedCase walked(sizes, depth);
  const Grouped accumulator(GroupsOf(sizes));
  StatisticsCollector collector("run/node", {});
  const int64_t call = collector.NextCall(accumulator);
  const StridedSource rows(walked.a.data(), walked.kRows, depth, depth, 1);
  const StridedSource columns(walked.b.data(), walked.kColumns, depth, depth, 1);
  const auto visit = [&](int64_t, const CountedProducts::Visitor& visitor) { visitor(rows, columns, {}); };
  CollectStatistics(accumulator, {1, walked.kRows, walked.kColumns, depth, visit}, call, ThreadParallel(2), 1,
                    &collector);
  const std::string what =
      std::string(CpuPathName(path)) + ", " + std::to_string(sizes.size()) + " groups, depth " + std::to_string(depth);
  CHECK(depth < 50 || LosesAll(walked.counts), "%s: the operands lose nothing", what.c_str());
  CheckSame(collector.Read(), walked.counts, what);
}

void CheckStartsAreRefused() {
  const GroupedPlanner planner(GroupsOf({4}));
  const float value = 1;
  try {
    const auto place = [](const std::array<int64_t, 3>&) { return Place{}; };
    RoundedStarts(planner, {&value, {0, 0, 0}}, {1, 1, 1}, 4, place, SerialParallel());
    CHECK(false, "a planner without starts takes some");
  } catch (const std::invalid_argument& error) {
    CHECK(std::string(error.what()).find("of this kind of accumulators start from zero") != std::string::npos, "%s",
          error.what());
  }
}

void CheckNames() {
  const std::string sums = " overflow underflow swamped";
  CHECK(TextOf(LevelsOf(3)) == "product overflow underflow\npartial_sum" + sums + "\npartial_sum_2" + sums +
                                   "\npartial_sum_3" + sums + "\ntotal" + sums,
        "%s", TextOf(LevelsOf(3)).c_str());
  StatisticsCollector collector("run/node", {});
  collector.NextCall(Grouped(GroupsOf({4})));
  try {
    collector.NextCall(Grouped(SumGroups()));
    CHECK(false, "levels of another accumulator are taken");
  } catch (const std::invalid_argument& error) {
    CHECK(std::string(error.what()).find("for the key run/node, got grouped") != std::string::npos, "%s", error.what());
  }
}

}  // namespace
}  // namespace lba

int main() {
  lba::CheckNames();
  lba::CheckStartsAreRefused();
  lba::ForEachPath([](lba::CpuPath path) {
    for (const std::vector<int64_t>& sizes : lba::kGroupSizes) {
      for (const int64_t depth : {12, 50, 96}) lba::CheckLevels(sizes, depth, path);
    }
  });
  return 0;
}
