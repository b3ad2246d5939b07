// Follows the dot products of a tile a second time and notes which steps an estimator gates. An Arithmetic (see
// tile_kernel.h) brings, besides,
//   Product(x, w), AddProduct(s, p)   the two parts of Step
//   ProductAtMax(p), SumAtMax(s)      whether they have reached max_value, a bit per lane
//   Equal(a, b), NotZero(s)           likewise
// Include it only from files that are compiled for one instruction set.
#ifndef LBA_KERNELS_CPU_GATE_KERNEL_H_
#define LBA_KERNELS_CPU_GATE_KERNEL_H_

#include <algorithm>

#include "kernels/cpu/gates.h"
#include "kernels/cpu/tile_kernel.h"

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
  using Sums = V[kRows][kVectors];
  static constexpr int kLanes = Arithmetic::kLanes;
  static constexpr int kColumns = Arithmetic::kLanes * Arithmetic::kVectors;  // of a full block

  const Arithmetic& arithmetic;
  const GateArgs& args;
  const int row, column;

  void Follow() const {
    V sums[kRows][kVectors];
    OuterSums<Arithmetic, kRows, kVectors> outer(*args.order);
    GroupWords words(*args.order, args.depth, args.joins + row);
    for (int64_t begin = 0; begin < args.depth; begin += args.order->chunk()) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sums[r][v] = Arithmetic::Zero();
      }
      const int64_t end = std::min(begin + args.order->chunk(), args.depth);
      for (int64_t k = begin; k < end; ++k) Step(k, sums);
      outer.Add(sums, end, args.depth, [&](int level, bool, const Sums& group, Sums& total) {
        uint32_t* word = words.Next(level);
#pragma GCC unroll 8
        for (int r = 0; r < kRows; ++r) Join(group[r], total[r], word + r);
      });
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
  const Arithmetic arithmetic = ArithmeticOf<Arithmetic>(args.constants);
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

// Light: an Arithmetic that saturates nothing inside a chunk, for variant 0; Full: one that does, for variant 1.
template <class Light, class Full>
constexpr GateKernels kGates = {{{FollowTile<Light, Watch::kJoins>, FollowTile<Light, Watch::kJoins>},
                                 {FollowTile<Light, Watch::kOverflow>, FollowTile<Full, Watch::kOverflow>},
                                 {FollowTile<Light, Watch::kDifference>, FollowTile<Full, Watch::kDifference>}}};

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_GATE_KERNEL_H_
