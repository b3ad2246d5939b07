// One dot product by the definition of its arithmetic, in any order of sums. Usable on the host and on a GPU. A
// Definition brings a State and
//   Start()                     of every sum
//   Step(sum, x, w)             the sum of a chain of products with one product more
//   Join(total, sum)            the sum of a chain of sums with one sum more
//   Finish(total)               float32, zeros positive
// and, where it knows adder trees and lanes, kHasTrees = true and Product(x, w), which Join adds as it does sums; where
// totals may start from values, kHasStarts = true and StartFrom(value), which rounds one; what is rounded stays as it
// is. One whose outputs differ by their place brings a class Output, made by At(place), with
//   Step(sum, x, w, k), Product(x, w, k), Join(total, sum, level, k), StartFrom(value, level, k)
// instead: k is the first product of what is added, and level 1 in innermost groups, then one more for each further
// out.
#ifndef LBA_COMMON_DEFINED_DOT_H_
#define LBA_COMMON_DEFINED_DOT_H_

#include <cstdint>
#include <type_traits>

#include "common/host_device.h"
#include "common/random_bits.h"
#include "common/sum_order.h"

namespace lba {

template <class Definition, class = void>
struct HasTrees : std::false_type {};
template <class Definition>
struct HasTrees<Definition, std::enable_if_t<Definition::kHasTrees>> : std::true_type {};

template <class Definition, class = void>
struct HasStarts : std::false_type {};
template <class Definition>
struct HasStarts<Definition, std::enable_if_t<Definition::kHasStarts>> : std::true_type {};

// An output of a definition that is the same in every place.
template <class Definition>
class AnyOutput {
 public:
  using State = typename Definition::State;

  LBA_HOST_DEVICE explicit AnyOutput(const Definition& definition) : definition_(definition) {}

  LBA_HOST_DEVICE State Step(const State& sum, float x, float w, int64_t) const { return definition_.Step(sum, x, w); }
  LBA_HOST_DEVICE State Product(float x, float w, int64_t) const { return definition_.Product(x, w); }
  LBA_HOST_DEVICE bool ProductIsAtMax(float x, float w, int64_t) const { return definition_.ProductIsAtMax(x, w); }
  LBA_HOST_DEVICE State Join(const State& total, const State& sum, int, int64_t) const {
    return definition_.Join(total, sum);
  }
  LBA_HOST_DEVICE State StartFrom(float value, int, int64_t) const { return definition_.StartFrom(value); }

 private:
  const Definition& definition_;
};

template <class Definition, class = void>
struct OutputOf {
  using Type = AnyOutput<Definition>;
  LBA_HOST_DEVICE static Type At(const Definition& definition, const Place&) { return Type(definition); }
};
template <class Definition>
struct OutputOf<Definition, std::void_t<typename Definition::Output>> {
  using Type = typename Definition::Output;
  LBA_HOST_DEVICE static Type At(const Definition& definition, const Place& place) { return definition.At(place); }
};

// Products begin <= k < end in a chain. read(k, &x, &w) gives the operands of product k.
template <class State, class Output, class Read>
LBA_HOST_DEVICE State DefinedChain(const Output& output, int64_t begin, int64_t end, const Read& read, State sum) {
  for (int64_t k = begin; k < end; ++k) {
    float x, w;
    read(k, &x, &w);
    sum = output.Step(sum, x, w, k);
  }
  return sum;
}

// The same by an adder tree, whose first item is *carry if there is one. What waits for its neighbour lies on a stack,
// as the bits of a counter of items do.
template <class State, class Output, class Read>
LBA_HOST_DEVICE State DefinedTree(const Output& output, int64_t begin, int64_t end, const Read& read,
                                  const State& start, const State* carry) {
  State waiting[SumOrder::kMostWaiting];
  int64_t firsts[SumOrder::kMostWaiting];  // product of each
  const int carried = carry == nullptr ? 0 : 1;
  int count = carried;
  if (carried != 0) {
    waiting[0] = *carry;
    firsts[0] = begin;
  }
  for (int64_t k = begin; k < end; ++k) {
    float x, w;
    read(k, &x, &w);
    State sum = output.Product(x, w, k);
    int64_t first = k;
    for (int64_t seen = k - begin + 1 + carried; seen % 2 == 0; seen /= 2) {
      sum = output.Join(waiting[--count], sum, 1, first);
      first = firsts[count];
    }
    waiting[count] = sum;
    firsts[count++] = first;
  }
  if (end - begin == 1 && carried == 0) return output.Join(start, waiting[0], 1, begin);
  for (; count > 1; --count) {
    waiting[count - 2] = output.Join(waiting[count - 2], waiting[count - 1], 1, firsts[count - 1]);
  }
  return waiting[0];
}

// Items added as neighbours, in place; an odd one passes up.
template <class State, class Output>
LBA_HOST_DEVICE State DefinedNeighbours(const Output& output, State* items, int count, int64_t k) {
  for (; count > 1; count = (count + 1) / 2) {
    for (int i = 0; i + 1 < count; i += 2) items[i / 2] = output.Join(items[i], items[i + 1], 1, k);
    if (count % 2 != 0) items[count / 2] = items[count - 1];
  }
  return items[0];
}

// The same by interleaved chains, of which the first starts from *carry if there is one.
template <class State, class Output, class Read>
LBA_HOST_DEVICE State DefinedLanes(const Output& output, int lanes, int64_t begin, int64_t end, const Read& read,
                                   const State& start, const State* carry) {
  State sums[SumOrder::kMostLanes];
  const int count = static_cast<int>(end - begin < lanes ? end - begin : lanes);
  for (int lane = 0; lane < count; ++lane) {
    State sum = lane == 0 && carry != nullptr ? *carry : start;
    for (int64_t k = begin + lane; k < end; k += lanes) {
      float x, w;
      read(k, &x, &w);
      sum = output.Step(sum, x, w, k);
    }
    sums[lane] = sum;
  }
  return DefinedNeighbours(output, sums, count, begin);
}

// Products begin <= k < end as the order has it, from a value where it chains them, and what it carries into them.
template <class Definition, class State, class Output, class Read>
LBA_HOST_DEVICE State DefinedGroup(const Output& output, const SumOrder& order, int64_t begin, int64_t end,
                                   const Read& read, const State& start, const State& running) {
  if constexpr (HasTrees<Definition>::value) {
    const State* carry = order.carries ? &running : nullptr;
    if (order.is_tree) return DefinedTree(output, begin, end, read, Definition::Start(), carry);
    if (order.lanes != 0) return DefinedLanes(output, order.lanes, begin, end, read, Definition::Start(), carry);
  }
  return DefinedChain(output, begin, end, read, start);
}

// The last chain starts from `start`.
template <class Definition, class Read>
LBA_HOST_DEVICE float DefinedDotFrom(const typename Definition::State& start, const Definition& definition,
                                     int64_t depth, const SumOrder& order, const Place& place, const Read& read) {
  using State = typename Definition::State;
  const auto output = OutputOf<Definition>::At(definition, place);
  State sums[SumOrder::kMostLevels];
  int64_t firsts[SumOrder::kMostLevels];  // product of each
  for (int level = 0; level < order.levels; ++level) {
    sums[level] = Definition::Start();
    firsts[level] = 0;
  }
  sums[order.levels - 1] = start;
  const State first_start = order.is_one_chain ? start : Definition::Start();
  for (int64_t begin = 0; begin < depth; begin += order.chunk()) {
    const int64_t end = order.chunk() < depth - begin ? begin + order.chunk() : depth;
    int64_t first = begin;
    State sum = DefinedGroup<Definition>(output, order, begin, end, read, first_start, sums[0]);
    if (order.is_one_chain) return definition.Finish(sum);
    for (int level = 0;; ++level) {
      const bool is_next = order.carries && level == 0;
      sums[level] = is_next ? sum : output.Join(sums[level], sum, level + 2, first);
      if (!order.Passes(level, end, depth)) break;
      sum = sums[level];
      first = firsts[level];
      sums[level] = Definition::Start();
      firsts[level] = end;
    }
  }
  return definition.Finish(sums[order.levels - 1]);
}

template <class Definition, class Read>
LBA_HOST_DEVICE float DefinedDot(const Definition& definition, int64_t depth, const SumOrder& order, const Place& place,
                                 const Read& read) {
  return DefinedDotFrom(Definition::Start(), definition, depth, order, place, read);
}

}  // namespace lba

#endif  // LBA_COMMON_DEFINED_DOT_H_
