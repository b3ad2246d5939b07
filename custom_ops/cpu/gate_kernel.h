// Follows the dot products of a tile a second time and notes which steps an estimator gates. An Arithmetic (see
// tile_kernel.h) brings, besides,
//   Product(x, w), AddProduct(s, p)   the two parts of Step
//   ProductAtMax(p), SumAtMax(s)      whether they have reached max_value, a bit per lane
//   Equal(a, b), NotZero(s)           likewise
// Include it only from the tile_<path>.cc files, each of which is compiled for its own instruction set.
#ifndef LBA_CPU_GATE_KERNEL_H_
#define LBA_CPU_GATE_KERNEL_H_

#include <algorithm>
#include <cstring>

#include "cpu/gates.h"

namespace lba {
namespace {  // each instruction set has its own copy

// The bits of one row's block of columns, which share their word with the blocks beside it.
template <int kColumns>
inline void StoreBits(uint32_t bits, int column, uint32_t* word) {
  if constexpr (kColumns == kColumnPanel) {
    *word = bits;
  } else {
    *word = (column == 0 ? 0 : *word) | bits << column;
  }
}

template <class Arithmetic, Watch kWatch, int kRows, int kVectors>
struct GateBlock {
  using V = typename Arithmetic::V;
  static constexpr int kLanes = Arithmetic::kLanes;
  static constexpr int kColumns = Arithmetic::kLanes * Arithmetic::kVectors;  // of a full block

  const Arithmetic& arithmetic;
  const GateArgs& args;
  const int row, column;

  void Follow() const {
    V totals[kRows][kVectors], sums[kRows][kVectors];
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVectors; ++v) totals[r][v] = Arithmetic::Zero();
    }
    uint32_t* joins = args.joins + row;
    for (int64_t begin = 0; begin < args.depth; begin += args.chunk, joins += kRowPanel) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sums[r][v] = Arithmetic::Zero();
      }
      const int64_t end = std::min(begin + args.chunk, args.depth);
      for (int64_t k = begin; k < end; ++k) Step(k, sums);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) Join(sums[r], totals[r], joins + r);
    }
  }

 private:
  void Step(int64_t k, V (&sums)[kRows][kVectors]) const {
    const float* values = args.columns + k * kColumnPanel + column;
    V w[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) w[v] = Arithmetic::Load(values + v * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const V x = Arithmetic::Broadcast(args.rows + k * kRowPanel + row + r);
      uint32_t product_bits = 0, sum_bits = 0;
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        V& sum = sums[r][v];
        if constexpr (kWatch == Watch::kOverflow) {
          const V product = arithmetic.Product(x, w[v]);
          sum = arithmetic.AddProduct(sum, product);
          product_bits |= arithmetic.ProductAtMax(product) << (v * kLanes);
          sum_bits |= arithmetic.SumAtMax(sum) << (v * kLanes);
        } else {
          const V next = arithmetic.AddProduct(sum, arithmetic.Product(x, w[v]));
          if constexpr (kWatch == Watch::kDifference) sum_bits |= Arithmetic::Equal(next, sum) << (v * kLanes);
          sum = next;
        }
      }
      const int64_t word = k * kRowPanel + row + r;
      if constexpr (kWatch == Watch::kOverflow) StoreBits<kColumns>(product_bits, column, args.products + word);
      if constexpr (kWatch != Watch::kJoins) StoreBits<kColumns>(sum_bits, column, args.sums + word);
    }
  }

  void Join(const V (&sums)[kVectors], V (&totals)[kVectors], uint32_t* word) const {
    uint32_t bits = 0;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const V next = arithmetic.Join(totals[v], sums[v]);
      const uint32_t gated = kWatch == Watch::kDifference
                                 ? Arithmetic::Equal(next, totals[v]) & Arithmetic::NotZero(sums[v])
                                 : arithmetic.SumAtMax(next);
      bits |= gated << (v * kLanes);
      totals[v] = next;
    }
    StoreBits<kColumns>(bits, column, word);
  }
};

// Rows and vectors are template arguments so that sums stay in registers; this finds the block for run-time counts:
// all rows, or the one of a depthwise convolution.
template <class Arithmetic, Watch kWatch, int kRows, int kVectors>
inline void FollowBlock(const Arithmetic& arithmetic, const GateArgs& args, int row, int column, int rows,
                        int vectors) {
  if constexpr (kVectors > 1) {
    if (vectors <= kVectors / 2) {
      return FollowBlock<Arithmetic, kWatch, kRows, kVectors / 2>(arithmetic, args, row, column, rows, vectors);
    }
  }
  if constexpr (kRows > 1) {
    if (rows == 1) {
      return FollowBlock<Arithmetic, kWatch, 1, kVectors>(arithmetic, args, row, column, rows, vectors);
    }
  }
  GateBlock<Arithmetic, kWatch, kRows, kVectors>{arithmetic, args, row, column}.Follow();
}

template <class Arithmetic, Watch kWatch>
void FollowTile(const GateArgs& args) {
  const Arithmetic arithmetic(*args.constants);
  constexpr int kColumns = Arithmetic::kVectors * Arithmetic::kLanes;
  for (int column = 0; column < args.column_count; column += kColumns) {
    const int columns = std::min(args.column_count - column, kColumns);
    const int vectors = (columns + Arithmetic::kLanes - 1) / Arithmetic::kLanes;
    for (int row = 0; row < args.row_count; row += Arithmetic::kRows) {
      const int rows = std::min(args.row_count - row, Arithmetic::kRows);
      FollowBlock<Arithmetic, kWatch, Arithmetic::kRows, Arithmetic::kVectors>(arithmetic, args, row, column, rows,
                                                                               vectors);
    }
  }
}

// The words of the rows of a panel, side by side. Passed by reference: not every target has registers of this size.
typedef uint32_t Words __attribute__((vector_size(4 * kRowPanel)));

inline void LoadWords(const uint32_t* words, Words* value) { std::memcpy(value, words, sizeof *value); }

inline void StoreWords(const Words& value, uint32_t* words) { std::memcpy(words, &value, sizeof value); }

inline int64_t CountOpen(const Words& open) {
  int64_t count = 0;
  for (int r = 0; r < kRowPanel; ++r) count += __builtin_popcount(open[r]);
  return count;
}

// One chunk's steps, the last first: an overflow of a sum may gate what entered before it.
template <Estimator kEstimator>
int64_t OpenChunk(const OpenArgs& args, int64_t begin, int64_t end, const Words& open_chunk) {
  int64_t count = 0;
  Words later{};
  for (int64_t k = end - 1; k >= begin; --k) {
    uint32_t* word = args.sums + k * kRowPanel;
    Words gated, other;
    LoadWords(word, &gated);
    if constexpr (kEstimator == Estimator::kImmediateDifference) {
      LoadWords(args.rows_not_zero + k * kRowPanel, &other);
      gated &= other & args.columns_not_zero[k];
    } else {
      if constexpr (kEstimator == Estimator::kRecursiveOverflow) gated = later |= gated;
      LoadWords(args.products + k * kRowPanel, &other);
      gated |= other;
    }
    const Words open = open_chunk & ~gated;
    StoreWords(open, word);
    count += CountOpen(open);
  }
  return count;
}

template <Estimator kEstimator>
int64_t OpenTile(const OpenArgs& args) {
  Words valid{};  // the bits that stand for products
  for (int r = 0; r < args.row_count; ++r) valid[r] = ~uint32_t{0} >> (kColumnPanel - args.column_count);
  const int64_t chunks = (args.depth + args.chunk - 1) / args.chunk;
  int64_t count = 0;
  Words later{};
  for (int64_t c = chunks - 1; c >= 0; --c) {
    uint32_t* joins = args.joins + c * kRowPanel;
    Words gated;
    LoadWords(joins, &gated);
    if constexpr (kEstimator == Estimator::kRecursiveOverflow) gated = later |= gated;
    const Words open = valid & ~gated;
    const int64_t begin = c * args.chunk, end = std::min(begin + args.chunk, args.depth);
    if (args.watch == Watch::kJoins) {
      StoreWords(open, joins);
      count += CountOpen(open) * (end - begin);
    } else {
      count += OpenChunk<kEstimator>(args, begin, end, open);
    }
  }
  return args.depth * args.row_count * args.column_count - count;
}

inline int64_t OpenTileBy(const OpenArgs& args) {
  if (args.estimator == Estimator::kImmediateOverflow) return OpenTile<Estimator::kImmediateOverflow>(args);
  if (args.estimator == Estimator::kRecursiveOverflow) return OpenTile<Estimator::kRecursiveOverflow>(args);
  return OpenTile<Estimator::kImmediateDifference>(args);
}

// Light: an Arithmetic that saturates nothing inside a chunk; Full: one that does.
template <class Light, class Full>
GateKernels MakeGateKernels(GradientKernel gradients) {
  return GateKernels{{{FollowTile<Light, Watch::kJoins>, FollowTile<Light, Watch::kJoins>},
                      {FollowTile<Light, Watch::kOverflow>, FollowTile<Full, Watch::kOverflow>},
                      {FollowTile<Light, Watch::kDifference>, FollowTile<Full, Watch::kDifference>}},
                     OpenTileBy,
                     gradients};
}

}  // namespace
}  // namespace lba

#endif  // LBA_CPU_GATE_KERNEL_H_
