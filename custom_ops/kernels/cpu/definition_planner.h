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
    double exact_sum = 0, exact_total = 0;
    State sum = Definition::Start(), total = Definition::Start();
  };

  explicit DefinedChains(const Definition& definition) : definition_(definition) {}

  void AddProduct(float x, float w, Chain* chain, ChainEvents* events) const {
    chain->exact_sum += static_cast<double>(x) * static_cast<double>(w);
    ++events->products.values;
    events->products.overflows += definition_.ProductIsAtMax(x, w);
    const auto output = OutputOf<Definition>::At(definition_, {});
    const State next = output.Step(chain->sum, x, w, 0);
    Count(next, chain->sum, x != 0 && w != 0, &events->partial_sums);
    chain->sum = next;
  }

  void EndChunk(Chain* chain, ChainEvents* events) const {
    chain->exact_total += chain->exact_sum;
    const State next = OutputOf<Definition>::At(definition_, {}).Join(chain->total, chain->sum, 1, 0);
    Count(next, chain->total, !(chain->sum == Definition::Start()), &events->totals);
    chain->total = next;
    chain->exact_sum = 0;
    chain->sum = Definition::Start();
  }

 private:
  void Count(const State& after, const State& before, bool adds, LbaEvents* events) const {
    const bool overflows = definition_.IsAtMax(after);
    ++events->values;
    events->overflows += overflows;
    events->swamped += adds && after == before && !overflows;
  }

  const Definition definition_;
};

template <class Definition>
class DefinitionPlanner : public Planner {
 public:
  using Constants = typename Definition::Constants;

  DefinitionPlanner(const Constants& constants, const SumOrder& order, bool differs_by_place = false)
      : Planner(order), constants_(constants), differs_by_place_(differs_by_place) {}

  bool differs_by_place() const override { return differs_by_place_; }

  const TileKernels& KernelsOf(CpuPath) const override { return DefinedKernels<Definition>(); }
  const void* constants(CpuPath) const override { return &constants_; }
  std::unique_ptr<ChainFollower> FollowChains() const override {
    using Chains = DefinedChains<Definition>;
    return std::make_unique<ChainFollowerOf<Chains>>(Chains(Definition(constants_)), chunk());
  }

 private:
  const Constants constants_;
  const bool differs_by_place_;
};

template <class Definition>
class DefinedAccumulator : public Accumulator {
 public:
  using Constants = typename Definition::Constants;

  // A chunk size of 0: the whole depth is one chunk.
  DefinedAccumulator(const std::string& text, const Constants& constants, int64_t chunk_size = 0)
      : Accumulator(text), constants_(constants), chunk_size_(chunk_size) {}

  std::shared_ptr<const Planner> PlanOnCpu(int64_t depth) const override {
    SumOrder order;
    order.lengths[0] = chunk_size_ == 0 ? std::max<int64_t>(depth, 1) : chunk_size_;
    return std::make_shared<const DefinitionPlanner<Definition>>(constants_, order);
  }

 private:
  const Constants constants_;
  const int64_t chunk_size_;
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_DEFINITION_PLANNER_H_
