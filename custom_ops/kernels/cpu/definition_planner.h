// An accumulator that brings its definition alone (definition_kernels.h), and all that the kernels ask of it.
#ifndef LBA_KERNELS_CPU_DEFINITION_PLANNER_H_
#define LBA_KERNELS_CPU_DEFINITION_PLANNER_H_

#include <algorithm>
#include <memory>
#include <string>

#include "arithmetic/accumulator.h"
#include "kernels/cpu/definition_kernels.h"
#include "kernels/cpu/planner.h"

namespace lba {

// Follows dot products unquantized, in double, and by the definition. What has saturated overflows.
template <class Definition>
class DefinedChains {
 public:
  using State = typename Definition::State;
  struct Chain {
    double exact_sums[kMaxSums]{};
    State sums[kMaxSums];

    Chain() { std::fill_n(sums, kMaxSums, Definition::Start()); }
  };

  static Levels LevelsOf(int partial_sums) {
    if (!Definition::kSaturates) return NamedLevels(partial_sums, {}, {"swamped"});
    return NamedLevels(partial_sums, {"overflow"}, {"overflow", "swamped"});
  }

  explicit DefinedChains(const Definition& definition) : definition_(definition) {}

  void Start(int n, float value, int64_t depth, Chain* chain) const {
    if constexpr (HasStarts<Definition>::value) {
      chain->sums[n] = OutputOf<Definition>::At(definition_, {}).StartFrom(value, n + 1, depth);
    }
  }

  void AddProduct(float x, float w, Chain* chain, ChainEvents* events) const {
    chain->exact_sums[0] += static_cast<double>(x) * static_cast<double>(w);
    ++events->levels[0].values;
    if (Definition::kSaturates) events->levels[0].events[kOverflow] += definition_.ProductIsAtMax(x, w);
    const State next = OutputOf<Definition>::At(definition_, {}).Step(chain->sums[0], x, w, 0);
    Replace(next, x != 0 && w != 0, &chain->sums[0], &events->levels[1]);
  }

  void EndGroup(int n, Chain* chain, ChainEvents* events) const {
    chain->exact_sums[n + 1] += chain->exact_sums[n];
    const State next = OutputOf<Definition>::At(definition_, {}).Join(chain->sums[n + 1], chain->sums[n], n + 2, 0);
    Replace(next, !(chain->sums[n] == Definition::Start()), &chain->sums[n + 1], &events->levels[n + 2]);
    chain->exact_sums[n] = 0;
    chain->sums[n] = Definition::Start();
  }

 private:
  static constexpr int kOverflow = 0, kSwamped = Definition::kSaturates ? 1 : 0;

  void Replace(const State& after, bool adds, State* sum, LevelEvents* counts) const {
    const bool overflows = definition_.IsAtMax(after);
    ++counts->values;
    if (Definition::kSaturates) counts->events[kOverflow] += overflows;
    counts->events[kSwamped] += adds && after == *sum && !overflows;
    *sum = after;
  }

  const Definition definition_;
};

template <class Definition>
class DefinitionPlanner : public Planner {
 public:
  using Constants = typename Definition::Constants;

  DefinitionPlanner(const Constants& constants, const SumOrder& order, const SumGroups& groups,
                    bool differs_by_place = false)
      : Planner(order), constants_(constants), groups_(groups), differs_by_place_(differs_by_place) {}

  bool differs_by_place() const override { return differs_by_place_; }
  bool has_starts() const override { return HasStarts<Definition>::value; }

  SumGroups groups() const override { return groups_; }
  const TileKernels& KernelsOf(CpuPath) const override { return DefinedKernels<Definition>(); }
  const void* constants(CpuPath) const override { return &constants_; }
  OpenTileKernel open() const override { return OpenDefinedTile<Definition>; }
  std::unique_ptr<ChainFollower> FollowChains() const override {
    using Chains = DefinedChains<Definition>;
    return std::make_unique<ChainFollowerOf<Chains>>(Chains(Definition(constants_)), groups_, started_sum());
  }

 protected:
  const Constants& definition_constants() const { return constants_; }

 private:
  const Constants constants_;
  const SumGroups groups_;
  const bool differs_by_place_;
};

template <class Definition>
class DefinedAccumulator : public Accumulator {
 public:
  using Constants = typename Definition::Constants;

  // A chunk size of 0: there are no partial sums; joining the total of nothing with a sum gives the sum.
  DefinedAccumulator(const std::string& text, const Constants& constants, int64_t chunk_size = 0)
      : Accumulator(text, DefinedChains<Definition>::LevelsOf(chunk_size == 0 ? 0 : 1)),
        constants_(constants),
        chunk_size_(chunk_size) {}

  std::shared_ptr<const Planner> PlanOnCpu(int64_t depth) const override {
    SumOrder order;
    order.lengths[0] = chunk_size_ == 0 ? std::max<int64_t>(depth, 1) : chunk_size_;
    const SumGroups groups = chunk_size_ == 0 ? SumGroups() : SumGroups(chunk_size_);
    return std::make_shared<const DefinitionPlanner<Definition>>(constants_, order, groups);
  }

 private:
  const Constants constants_;
  const int64_t chunk_size_;
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_DEFINITION_PLANNER_H_
