// One output followed a second time by the definition of its arithmetic, in any order of sums: which products an
// estimator gates (docs/numerics.md, "Gradients"). The steps are those of common/defined_dot.h, random bits included.
#ifndef LBA_KERNELS_CPU_DEFINED_GATES_H_
#define LBA_KERNELS_CPU_DEFINED_GATES_H_

#include <algorithm>
#include <cstdint>

#include "common/defined_dot.h"
#include "kernels/cpu/open_tile.h"

namespace lba {

template <class Definition>
class DefinedGates {
 public:
  using State = typename Definition::State;

  DefinedGates(const Definition& definition, const OpenTileArgs& args, int row, int column)
      : definition_(definition),
        output_(OutputOf<Definition>::At(definition, args.tile.places.At(row, column))),
        args_(args.tile),
        order_(*args.tile.order),
        is_difference_(args.estimator == Estimator::kImmediateDifference),
        is_recursive_(args.estimator == Estimator::kRecursiveOverflow),
        row_(row),
        column_(column),
        open_(args.open + row) {}

  // Clears the bits of what is gated, and returns the sum.
  State Follow() const {
    Sum sums[SumOrder::kMostLevels];
    const Sum start = FirstOfLastChain();
    if (!order_.is_one_chain) sums[order_.levels - 1] = start;
    for (int64_t begin = 0; begin < args_.depth; begin += order_.chunk()) {
      const int64_t end = order_.chunk() < args_.depth - begin ? begin + order_.chunk() : args_.depth;
      Sum sum = order_.is_one_chain ? start : order_.carries ? sums[0] : Sum{begin};
      FollowGroup(begin, end, &sum);
      for (int level = 0;; ++level) {
        if (order_.carries && level == 0) {
          sums[0] = sum;
        } else {
          Join(sum, level, end, &sums[level]);
        }
        if (!order_.Passes(level, end, args_.depth)) break;
        sum = sums[level];
        sums[level] = Sum{end};
      }
    }
    const Sum& total = sums[order_.levels - 1];
    Close(total);
    return order_.is_one_chain && args_.depth == 0 ? start.value : total.value;
  }

 private:
  static constexpr int64_t kNone = -1;

  // What has been summed in a chain, from product `first` on. What an overflow gates of all that entered before is
  // gated once, at the end of the chain.
  struct Sum {
    int64_t first = 0;
    State value = Definition::Start();
    bool has_start = false;    // the values that sums start from are in it
    int64_t gated_to = kNone;  // products before this one, and the start
  };

  // A node of an adder tree: products first <= k < that of its right neighbour, or lanes likewise.
  struct Node {
    State value;
    int64_t first;
    bool adds;        // whether it is not zero
    bool is_running;  // its first item has entered a sum before
  };

  void Clear(int64_t begin, int64_t end, int64_t step = 1) const {
    for (int64_t k = begin; k < end; k += step) open_[k * kRowPanel] &= ~(uint32_t{1} << column_);
  }

  void ClearAll(const Sum& sum, int64_t end) const {
    Clear(sum.first, end);
    if (sum.has_start) Clear(args_.depth, args_.depth + 1);
  }

  void Close(const Sum& sum) const {
    if (sum.gated_to != kNone) ClearAll(sum, sum.gated_to);
  }

  static bool IsZero(const State& value) { return value == Definition::Start(); }

  // Whether an addition gates what enters, by what it has made of a sum.
  bool IsGated(bool adds, const State& before, const State& after) const {
    return is_difference_ ? adds && after == before : definition_.IsAtMax(after);
  }

  Sum FirstOfLastChain() const {
    Sum sum{0};
    if constexpr (HasStarts<Definition>::value) {
      if (args_.starts == nullptr) return sum;
      const float start = args_.starts[row_ * kColumnPanel + column_];
      sum.value = output_.StartFrom(start, order_.last_level(), args_.depth);
      sum.has_start = true;
      if (IsGated(start != 0, Definition::Start(), sum.value)) Clear(args_.depth, args_.depth + 1);
    }
    return sum;
  }

  // The sum of a group joins a chain of such sums; where there are no groups, it is the total.
  void Join(const Sum& added, int level, int64_t end, Sum* total) const {
    Close(added);
    const State after =
        order_.is_one_chain ? added.value : output_.Join(total->value, added.value, level + 2, added.first);
    if (IsGated(!IsZero(added.value), total->value, after)) {
      ClearAll(added, end);
      if (is_recursive_) total->gated_to = end;
    }
    total->value = after;
  }

  void FollowGroup(int64_t begin, int64_t end, Sum* sum) const {
    if constexpr (HasTrees<Definition>::value) {
      if (order_.is_tree) return FollowTree(begin, end, sum);
      if (order_.lanes != 0) return FollowLanes(begin, end, sum);
    }
    sum->value = FollowChain(begin, end, 1, sum->value, begin, sum);
  }

  void Read(int64_t k, float* x, float* w) const {
    *x = args_.rows[k * kRowPanel + row_];
    *w = args_.columns[k * kColumnPanel + column_];
  }

  // A chain of products of the group that begins with `group`; what `running` holds went before, where it is not null.
  State FollowChain(int64_t begin, int64_t end, int64_t step, State value, int64_t group, Sum* running) const {
    int64_t gated_to = kNone;
    for (int64_t k = begin; k < end; k += step) {
      float x, w;
      Read(k, &x, &w);
      const State after = output_.Step(value, x, w, k);
      if (!is_difference_ && output_.ProductIsAtMax(x, w, k)) Clear(k, k + 1);
      if (IsGated(x != 0 && w != 0, value, after)) {
        Clear(k, k + 1);
        gated_to = k;
      }
      value = after;
    }
    if (is_recursive_ && gated_to != kNone) {
      Clear(begin, gated_to, step);
      if (running != nullptr) running->gated_to = group;
    }
    return value;
  }

  // The addition of two neighbours, of which clear_before and clear_after gate all, or of what joins a running sum.
  template <class ClearBefore, class ClearAfter>
  Node Added(const Node& before, const Node& after, int64_t k, int64_t group, Sum* running,
             const ClearBefore& clear_before, const ClearAfter& clear_after) const {
    const State value = output_.Join(before.value, after.value, 1, k);
    if (IsGated(after.adds, before.value, value)) {
      clear_after();
      if (is_recursive_ && before.is_running) {
        clear_before();
        running->gated_to = group;
      }
    }
    if (!before.is_running && IsGated(before.adds, after.value, value)) clear_before();
    return {value, before.first, !IsZero(value), before.is_running};
  }

  void FollowTree(int64_t begin, int64_t end, Sum* sum) const {
    const auto add = [&](const Node& before, const Node& after, int64_t last) {
      return Added(
          before, after, after.first, begin, sum, [&] { Clear(before.first, after.first); },
          [&] { Clear(after.first, last); });
    };
    Node waiting[SumOrder::kMostWaiting];
    const bool is_lone = end - begin == 1 && !order_.carries;  // joins a zero
    int count = order_.carries || is_lone ? 1 : 0;
    if (count != 0) waiting[0] = {sum->value, begin, false, true};
    const int64_t before = count;
    for (int64_t k = begin; k < end; ++k) {
      float x, w;
      Read(k, &x, &w);
      if (!is_difference_ && output_.ProductIsAtMax(x, w, k)) Clear(k, k + 1);
      Node node{output_.Product(x, w, k), k, x != 0 && w != 0, false};
      for (int64_t seen = k - begin + 1 + before; seen % 2 == 0; seen /= 2) node = add(waiting[--count], node, k + 1);
      waiting[count++] = node;
    }
    for (; count > 1; --count) waiting[count - 2] = add(waiting[count - 2], waiting[count - 1], end);
    sum->value = waiting[0].value;
  }

  void FollowLanes(int64_t begin, int64_t end, Sum* sum) const {
    Node nodes[SumOrder::kMostLanes];
    int64_t count = std::min<int64_t>(end - begin, order_.lanes);
    for (int64_t lane = 0; lane < count; ++lane) {
      const bool carries = lane == 0 && order_.carries;
      const State from = carries ? sum->value : Definition::Start();
      const State value = FollowChain(begin + lane, end, order_.lanes, from, begin, carries ? sum : nullptr);
      nodes[lane] = {value, lane, !IsZero(value), carries};
    }
    const auto clear = [&](int64_t first, int64_t last) {
      for (int64_t lane = first; lane < last; ++lane) Clear(begin + lane, end, order_.lanes);
    };
    const int64_t lanes = count;
    for (; count > 1; count = (count + 1) / 2) {
      for (int64_t i = 0; i + 1 < count; i += 2) {
        const Node before = nodes[i], after = nodes[i + 1];
        const int64_t last = i + 2 < count ? nodes[i + 2].first : lanes;
        nodes[i / 2] = Added(
            before, after, begin, begin, sum, [&] { clear(before.first, after.first); },
            [&] { clear(after.first, last); });
      }
      if (count % 2 != 0) nodes[count / 2] = nodes[count - 1];
    }
    sum->value = nodes[0].value;
  }

  const Definition& definition_;
  const typename OutputOf<Definition>::Type output_;
  const TileArgs& args_;
  const SumOrder& order_;
  const bool is_difference_, is_recursive_;
  const int row_, column_;
  uint32_t* const open_;
};

}  // namespace lba

#endif  // LBA_KERNELS_CPU_DEFINED_GATES_H_
