// The dot product loop, written once for all CPU paths. An Arithmetic brings a vector type V of kLanes values and
//   Zero, Load               from float32 operands, and from starts in the scale of the sums
//   Step(s, x, w)            s[v] <- Q_acc(Q_prod(*x * w[v]) + s[v]) for the vectors of a row
//   Join(total, s)           total <- Q_acc(total + s)
//   Store(out, total)        to float32, zeros positive
// and the tile that keeps its registers busy: kRows x kVectors; kDirectVectors for one row; and Half, the same
// arithmetic with vectors of half the length, or void. It is made from its Constants. Include it only from files that
// are compiled for one instruction set.
#ifndef LBA_KERNELS_CPU_TILE_KERNEL_H_
#define LBA_KERNELS_CPU_TILE_KERNEL_H_

#include <algorithm>
#include <type_traits>

#include "kernels/cpu/tile.h"

namespace lba {
namespace {  // each instruction set has its own copy

template <class Arithmetic>
Arithmetic ArithmeticOf(const void* constants) {
  return Arithmetic(*static_cast<const typename Arithmetic::Constants*>(constants));
}

// Calls function(i) for i < kCount, unrolled: the arrays that it reads and writes become registers.
template <int kCount, class Function>
inline void ForEach(const Function& function) {
#pragma GCC unroll 8
  for (int i = 0; i < kCount; ++i) function(i);
}

// What sums start from: kRows x kVectors vectors of `starts`, or zero where that is null.
template <class Arithmetic, int kRows, int kVectors>
inline void StartSums(const float* starts, int64_t step, typename Arithmetic::V (&sums)[kRows][kVectors]) {
  if (starts == nullptr) {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      ForEach<kVectors>([&](int v) { sums[r][v] = Arithmetic::Zero(); });
    }
  } else {
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      ForEach<kVectors>([&](int v) { sums[r][v] = Arithmetic::Load(starts + r * step + v * Arithmetic::kLanes); });
    }
  }
}

// The partial sums of one chunk, from what they are: kRows broadcast vectors, rows[k * row_step + r], and kVectors *
// kLanes columns at column(k), begin <= k < end.
template <class Arithmetic, int kRows, int kVectors, class Column>
inline void SumChunk(const Arithmetic& arithmetic, const float* rows, int64_t row_step, const Column& column,
                     int64_t begin, int64_t end, typename Arithmetic::V (&sums)[kRows][kVectors]) {
  using V = typename Arithmetic::V;
  for (int64_t k = begin; k < end; ++k) {
    const float* values = column(k);
    V w[kVectors];
    ForEach<kVectors>([&](int v) { w[v] = Arithmetic::Load(values + v * Arithmetic::kLanes); });
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) arithmetic.Step(sums[r], rows + k * row_step + r, w);
  }
}

// The sums of all chains but the innermost. They lie in memory: the registers are for those that change at each step.
template <class Arithmetic, int kRows, int kVectors>
class OuterSums {
 public:
  using V = typename Arithmetic::V;
  using Sums = V[kRows][kVectors];

  explicit OuterSums(const SumOrder& order) : order_(order) {
    for (int level = 0; level < order.levels; ++level) {
      if (level > 0) ends_[level] = order.lengths[level];
      Clear(level);
    }
  }

  // Adds the sums of an innermost group that ends with product end - 1: join(level, is_first, sums, total). The first
  // ones join zero.
  template <class Join>
  void Add(const Sums& sums, int64_t end, int64_t depth, const Join& join) {
    join(0, is_zero_[0], sums, sums_[0]);
    is_zero_[0] = false;
    for (int level = 1; level < order_.levels && (end == ends_[level] || end == depth); ++level) {
      join(level, is_zero_[level], sums_[level - 1], sums_[level]);
      is_zero_[level] = false;
      Clear(level - 1);
      ends_[level] = end + order_.lengths[level];
    }
  }

  // The total starts from these values instead of zero.
  void Start(const float* starts, int64_t step) {
    is_zero_[order_.levels - 1] = false;
    StartSums<Arithmetic, kRows, kVectors>(starts, step, sums_[order_.levels - 1]);
  }

  const Sums& total() const { return sums_[order_.levels - 1]; }

 private:
  void Clear(int level) {
    is_zero_[level] = true;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      ForEach<kVectors>([&](int v) { sums_[level][r][v] = Arithmetic::Zero(); });
    }
  }

  const SumOrder& order_;
  Sums sums_[SumOrder::kMostLevels];
  bool is_zero_[SumOrder::kMostLevels];
  int64_t ends_[SumOrder::kMostLevels];  // where the groups of each level that are being summed end
};

// How an innermost group is summed; a chain from its starts, where these are not null.
struct InChain {
  template <class Arithmetic, int kRows, int kVectors, class Column>
  static void Sum(const Arithmetic& arithmetic, const float* rows, int64_t row_step, const Column& column,
                  int64_t begin, int64_t end, const float* starts, int64_t starts_step,
                  typename Arithmetic::V (&sums)[kRows][kVectors]) {
    StartSums<Arithmetic, kRows, kVectors>(starts, starts_step, sums);
    SumChunk(arithmetic, rows, row_step, column, begin, end, sums);
  }
};

// Whether sums keep the sign of zero, so that 0 + s is not s where s is -0. Such an Arithmetic says kHasSignedZeros.
template <class Arithmetic, class = void>
struct HasSignedZeros : std::false_type {};
template <class Arithmetic>
struct HasSignedZeros<Arithmetic, std::enable_if_t<Arithmetic::kHasSignedZeros>> : std::true_type {};

// The dot products over the whole depth. Flattened: a step that is called keeps its sums in memory.
template <class Arithmetic, class Group, int kRows, int kVectors, class Column>
[[gnu::flatten]] inline void DotBlock(const Arithmetic& arithmetic, const float* rows, int64_t row_step,
                                      const Column& column, int64_t depth, const SumOrder& order, const float* starts,
                                      float* out, int64_t out_step) {
  using Sums = typename Arithmetic::V[kRows][kVectors];
  OuterSums<Arithmetic, kRows, kVectors> outer(order);
  const float* group_starts = order.is_one_chain ? starts : nullptr;
  if (starts != nullptr && group_starts == nullptr) outer.Start(starts, out_step);
  for (int64_t begin = 0; begin < depth; begin += order.chunk()) {
    const int64_t end = std::min(begin + order.chunk(), depth);
    Sums sums;
    Group::Sum(arithmetic, rows, row_step, column, begin, end, group_starts, out_step, sums);
    outer.Add(sums, end, depth, [&](int, bool is_first, const Sums& group, Sums& total) {
      // Q_acc(0 + s) = s: a group's sum is a value of the format already.
      const bool is_total = is_first && (!HasSignedZeros<Arithmetic>::value || order.is_one_chain);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        ForEach<kVectors>(
            [&](int v) { total[r][v] = is_total ? group[r][v] : arithmetic.Join(total[r][v], group[r][v]); });
      }
    });
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    ForEach<kVectors>(
        [&](int v) { arithmetic.Store(out + r * out_step + v * Arithmetic::kLanes, outer.total()[r][v]); });
  }
}

// Rows and vectors are template arguments so that sums stay in registers; this finds the block for run-time counts.
template <class Arithmetic, class Group, int kRows, int kVectors>
inline void TileBlock(const Arithmetic& arithmetic, const TileArgs& args, int row, int column, int rows, int vectors) {
  if constexpr (kVectors > 1) {
    if (vectors < kVectors) {
      return TileBlock<Arithmetic, Group, kRows, kVectors - 1>(arithmetic, args, row, column, rows, vectors);
    }
  }
  if constexpr (kRows > 1) {
    if (rows < kRows) {
      return TileBlock<Arithmetic, Group, kRows - 1, kVectors>(arithmetic, args, row, column, rows, vectors);
    }
  }
  const float* columns = args.columns + column;
  DotBlock<Arithmetic, Group, kRows, kVectors>(
      arithmetic, args.rows + row, kRowPanel, [columns](int64_t k) { return columns + k * kColumnPanel; }, args.depth,
      *args.order, args.starts == nullptr ? nullptr : args.starts + row * kColumnPanel + column,
      args.out + row * kColumnPanel + column, kColumnPanel);
}

template <class Arithmetic, class Group>
void RunWholeVectors(const TileArgs& args) {
  const Arithmetic arithmetic = ArithmeticOf<Arithmetic>(args.constants);
  constexpr int kColumns = Arithmetic::kVectors * Arithmetic::kLanes;
  for (int column = 0; column < args.column_count; column += kColumns) {
    const int columns = std::min(args.column_count - column, kColumns);
    const int vectors = (columns + Arithmetic::kLanes - 1) / Arithmetic::kLanes;
    for (int row = 0; row < args.row_count; row += Arithmetic::kRows) {
      const int rows = std::min(args.row_count - row, Arithmetic::kRows);
      TileBlock<Arithmetic, Group, Arithmetic::kRows, Arithmetic::kVectors>(arithmetic, args, row, column, rows,
                                                                            vectors);
    }
  }
}

// The last columns go to vectors of half the length where these hold them: images of 7 x 7 leave 1 of 49.
template <class Arithmetic, class Group = InChain>
void RunTile(const TileArgs& args) {
  TileArgs whole = args;
  if constexpr (!std::is_void_v<typename Arithmetic::Half>) {
    const int rest = args.column_count % Arithmetic::kLanes;
    if (rest > 0 && rest <= Arithmetic::Half::kLanes) {
      whole.column_count -= rest;
      TileArgs half = args;
      half.columns += whole.column_count;
      half.out += whole.column_count;
      if (half.starts != nullptr) half.starts += whole.column_count;
      half.column_count = rest;
      RunWholeVectors<typename Arithmetic::Half, Group>(half);
    }
  }
  RunWholeVectors<Arithmetic, Group>(whole);
}

template <class Arithmetic, class Group, int kVectors>
inline void DirectBlock(const Arithmetic& arithmetic, const DirectArgs& args, int64_t q) {
  const float* plane = args.plane + q;
  const int64_t* offsets = args.offsets;
  DotBlock<Arithmetic, Group, 1, kVectors>(
      arithmetic, args.weights, 1, [plane, offsets](int64_t k) { return plane + offsets[k]; }, args.depth, *args.order,
      args.starts == nullptr ? nullptr : args.starts + q, args.out + q, 0);
}

// Blocks of kVectors vectors while they last, then of half as many: few vectors hide less of the additions' latency.
template <class Arithmetic, class Group, int kVectors>
inline void DirectBlocks(const Arithmetic& arithmetic, const DirectArgs& args, int64_t q) {
  constexpr int64_t kStep = kVectors * Arithmetic::kLanes;
  const int64_t rounded = (args.count + Arithmetic::kLanes - 1) / Arithmetic::kLanes * Arithmetic::kLanes;
  for (; q + kStep <= rounded; q += kStep) DirectBlock<Arithmetic, Group, kVectors>(arithmetic, args, q);
  if constexpr (kVectors > 1) DirectBlocks<Arithmetic, Group, kVectors / 2>(arithmetic, args, q);
}

template <class Arithmetic, class Group = InChain>
void RunDirect(const DirectArgs& args) {
  static_assert(kDirectRounding % Arithmetic::kLanes == 0, "a vector may not pass the rounded count");
  DirectBlocks<Arithmetic, Group, Arithmetic::kDirectVectors>(ArithmeticOf<Arithmetic>(args.constants), args, 0);
}

}  // namespace
}  // namespace lba

#endif  // LBA_KERNELS_CPU_TILE_KERNEL_H_
