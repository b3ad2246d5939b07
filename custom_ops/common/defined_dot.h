// One dot product by the definition of its arithmetic, in any order of sums. Usable on the host and on a GPU. A
// Definition brings a State and
//   Start()                     of every sum
//   Step(sum, x, w)             the sum of a chain of products with one product more
//   Join(total, sum)            the sum of a chain of sums with one sum more
//   Finish(total)               float32, zeros positive
// and, where it knows adder trees, kHasTrees = true and Product(x, w), which Join adds as it does sums.
#ifndef LBA_COMMON_DEFINED_DOT_H_
#define LBA_COMMON_DEFINED_DOT_H_

#include <cstdint>
#include <type_traits>

#include "common/host_device.h"
#include "common/sum_order.h"

namespace lba {

template <class Definition, class = void>
struct HasTrees : std::false_type {};
template <class Definition>
struct HasTrees<Definition, std::enable_if_t<Definition::kHasTrees>> : std::true_type {};

// Products begin <= k < end in a chain. read(k, &x, &w) gives the operands of product k.
template <class Definition, class Read>
LBA_HOST_DEVICE typename Definition::State DefinedChain(const Definition& definition, int64_t begin, int64_t end,
                                                        const Read& read) {
  typename Definition::State sum = Definition::Start();
  for (int64_t k = begin; k < end; ++k) {
    float x, w;
    read(k, &x, &w);
    sum = definition.Step(sum, x, w);
  }
  return sum;
}

// The same by an adder tree. What waits for its neighbour lies on a stack, as the bits of a counter of products do.
template <class Definition, class Read>
LBA_HOST_DEVICE typename Definition::State DefinedTree(const Definition& definition, int64_t begin, int64_t end,
                                                       const Read& read) {
  constexpr int kMostWaiting = 12;  // of SumOrder::kLargestTree products
  typename Definition::State waiting[kMostWaiting];
  int count = 0;
  for (int64_t k = begin; k < end; ++k) {
    float x, w;
    read(k, &x, &w);
    typename Definition::State sum = definition.Product(x, w);
    for (int64_t seen = k - begin + 1; seen % 2 == 0; seen /= 2) sum = definition.Join(waiting[--count], sum);
    waiting[count++] = sum;
  }
  typename Definition::State sum = waiting[--count];
  if (end - begin == 1) return definition.Join(Definition::Start(), sum);
  while (count > 0) sum = definition.Join(waiting[--count], sum);
  return sum;
}

template <class Definition, class Read>
LBA_HOST_DEVICE float DefinedDot(const Definition& definition, int64_t depth, const SumOrder& order, const Read& read) {
  typename Definition::State sums[SumOrder::kMostLevels];
  for (int level = 0; level < order.levels; ++level) sums[level] = Definition::Start();
  for (int64_t begin = 0; begin < depth; begin += order.chunk()) {
    const int64_t end = order.chunk() < depth - begin ? begin + order.chunk() : depth;
    typename Definition::State sum;
    if constexpr (HasTrees<Definition>::value) {
      sum = order.is_tree ? DefinedTree(definition, begin, end, read) : DefinedChain(definition, begin, end, read);
    } else {
      sum = DefinedChain(definition, begin, end, read);
    }
    for (int level = 0;; ++level) {
      sums[level] = definition.Join(sums[level], sum);
      if (!order.Passes(level, end, depth)) break;
      sum = sums[level];
      sums[level] = Definition::Start();
    }
  }
  return definition.Finish(sums[order.levels - 1]);
}

}  // namespace lba

#endif  // LBA_COMMON_DEFINED_DOT_H_
