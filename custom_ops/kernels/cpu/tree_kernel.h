// Innermost groups that are summed by an adder tree (common/sum_order.h). An Arithmetic brings, besides what
// tile_kernel.h names,
//   Products(x, w, products)   products[v] <- Q_prod(*x * w[v])
//   AddProducts(a, b)          Q_acc(a + b) of two products
//   AddProduct(s, p)           Q_acc(s + p) of a sum and a product
//   AddSums(a, b)              Q_acc(a + b) of two sums
// Include it only from files that are compiled for one instruction set.
#ifndef LBA_KERNELS_CPU_TREE_KERNEL_H_
#define LBA_KERNELS_CPU_TREE_KERNEL_H_

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/tile_kernel.h"

namespace lba {
namespace {  // each instruction set has its own copy

// The products of one row with kVectors vectors of columns; see SumChunk.
template <class Arithmetic, int kVectors, class Column>
class RowTree {
 public:
  using V = typename Arithmetic::V;

  RowTree(const Arithmetic& arithmetic, const float* row, int64_t row_step, const Column& column)
      : arithmetic_(arithmetic), row_(row), row_step_(row_step), column_(column) {}

  // What waits for its neighbour lies on a stack, as the bits of a counter of products do.
  void Sum(int64_t begin, int64_t end, V (&sum)[kVectors]) const {
    V waiting[SumOrder::kMostWaiting][kVectors];
    ForEach<kVectors>([&](int v) { waiting[0][v] = Arithmetic::Zero(); });  // for a lone product
    int count = 0;
    int64_t k = begin;
    for (int64_t seen = 1; k + kInRegisters <= end; k += kInRegisters, ++seen) {
      SumWhole<kInRegisters>(k, sum);
      for (int64_t rest = seen; rest % 2 == 0; rest /= 2) Add(sum, waiting[--count]);
      ForEach<kVectors>([&](int v) { waiting[count][v] = sum[v]; });
      ++count;
    }
    if (k < end) SumRest<kInRegisters / 2>(k, end, waiting, &count);
    for (; count > 1; --count) Add(waiting[count - 2], waiting[count - 1]);
    ForEach<kVectors>([&](int v) { sum[v] = waiting[0][v]; });
  }

 private:
  static constexpr int kInRegisters = 8;

  void Products(int64_t k, V (&products)[kVectors]) const {
    const float* values = column_(k);
    V w[kVectors];
    ForEach<kVectors>([&](int v) { w[v] = Arithmetic::Load(values + v * Arithmetic::kLanes); });
    arithmetic_.Products(row_ + k * row_step_, w, products);
  }

  void Add(V (&before)[kVectors], const V (&after)[kVectors]) const {
    ForEach<kVectors>([&](int v) { before[v] = arithmetic_.AddSums(before[v], after[v]); });
  }

  // kCount, a power of two, whole products from k.
  template <int kCount>
  void SumWhole(int64_t k, V (&sum)[kVectors]) const {
    V before[kVectors], after[kVectors];
    if constexpr (kCount == 2) {
      Products(k, before);
      Products(k + 1, after);
      ForEach<kVectors>([&](int v) { sum[v] = arithmetic_.AddProducts(before[v], after[v]); });
    } else {
      SumWhole<kCount / 2>(k, before);
      SumWhole<kCount / 2>(k + kCount / 2, after);
      ForEach<kVectors>([&](int v) { sum[v] = arithmetic_.AddSums(before[v], after[v]); });
    }
  }

  // Fewer than 2 * kCount products: onto the stack, the larger powers of two first. A lone product joins what lies
  // there.
  template <int kCount>
  void SumRest(int64_t k, int64_t end, V (&waiting)[SumOrder::kMostWaiting][kVectors], int* count) const {
    if constexpr (kCount > 1) {
      if (end - k >= kCount) {
        SumWhole<kCount>(k, waiting[(*count)++]);
        k += kCount;
      }
      SumRest<kCount / 2>(k, end, waiting, count);
    } else if (k < end) {
      V products[kVectors];
      Products(k, products);
      *count = std::max(*count, 1);
      V(&sum)[kVectors] = waiting[*count - 1];
      ForEach<kVectors>([&](int v) { sum[v] = arithmetic_.AddProduct(sum[v], products[v]); });
    }
  }

  const Arithmetic& arithmetic_;
  const float* row_;
  const int64_t row_step_;
  const Column& column_;
};

struct InTree {
  template <class Arithmetic, int kRows, int kVectors, class Column>
  static void Sum(const Arithmetic& arithmetic, const float* rows, int64_t row_step, const Column& column,
                  int64_t begin, int64_t end, const float* /*starts*/, int64_t /*starts_step*/,
                  typename Arithmetic::V (&sums)[kRows][kVectors]) {
    for (int r = 0; r < kRows; ++r) {
      RowTree<Arithmetic, kVectors, Column>(arithmetic, rows + r, row_step, column).Sum(begin, end, sums[r]);
    }
  }
};

// Trees keep nothing in registers from row to row.
template <class Arithmetic>
struct OneRow : Arithmetic {
  using Arithmetic::Arithmetic;
  using Half = std::conditional_t<std::is_void_v<typename Arithmetic::Half>, void, OneRow<typename Arithmetic::Half>>;
  static constexpr int kRows = 1;
};

// Light: an Arithmetic that saturates nothing inside a tree, Full: one that does. By TileVariant::index(), whose last
// bit says which is needed; products may overflow in the last two. No gradient estimator is defined that gates parts of
// trees.
template <class Light, class Full>
TileKernels MakeTreeKernels(CpuPath path, FpMode mode) {
  constexpr TileKernel kTiles[] = {RunTile<OneRow<Light>, InTree>, RunTile<OneRow<Full>, InTree>};
  constexpr DirectKernel kDirects[] = {RunDirect<OneRow<Light>, InTree>, RunDirect<OneRow<Full>, InTree>};
  TileKernels kernels{path, mode, {}, {}, {}};
  for (int variant = 0; variant < kMostVariants; ++variant) {
    const bool is_full = variant % 2 != 0 || variant >= kMostVariants - 2;
    kernels.tile[variant] = kTiles[is_full];
    kernels.direct[variant] = kDirects[is_full];
  }
  return kernels;
}

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_TREE_KERNEL_H_
