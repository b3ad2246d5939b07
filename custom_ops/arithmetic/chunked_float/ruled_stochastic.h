// Tiles of ruled_definition.h with stochastic rounding, on vectors of double in the default environment. Good for
// finite operands. There are no direct kernels: these are not told places.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_STOCHASTIC_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_STOCHASTIC_H_

#include <cstring>

#include "arithmetic/chunked_float/ruled_vectors.h"
#include "kernels/cpu/random_vectors.h"
#include "kernels/cpu/tile_kernel.h"

namespace lba {
namespace {  // each instruction set has its own copy

// For random_vectors.h: as many integers as a vector has doubles.
template <int kCount>
struct RuledIntegers {
  using Integers = typename VectorTypes<kCount>::Words;
  static constexpr int kLanes = kCount;

  static Integers LoadIntegers(const uint32_t* p) {
    Integers values;
    std::memcpy(&values, p, sizeof values);
    return values;
  }
  static Integers SetInteger(uint32_t value) { return Integers{} + value; }
  static Integers Xor(Integers a, Integers b) { return a ^ b; }
  static Integers AddIntegers(Integers a, Integers b) { return a + b; }
  static Integers MultiplyLow(Integers a, Integers b) { return a * b; }
  template <int kBits>
  static Integers ShiftRight(Integers a) {
    return a >> kBits;
  }
};

// The draws for one row of a tile and kVectors vectors of its columns.
template <int kLanes, int kVectors>
class RuledDraws {
 public:
  using D = DoublesOf<kLanes>;
  using Words = typename D::Bits[kVectors];

  RuledDraws(const RuledConstants& c, const TilePlaces& places, int row, int column, int streams)
      : bits_(c.random_bits), random_(c.seed, c.random_bits, places, row, column, 0, streams) {}

  int64_t GroupOf(int64_t step) const { return step / random_.per_word(); }
  int64_t EndOf(int64_t group) const { return (group + 1) * random_.per_word(); }

  void Load(int stream, int64_t group, Words& words) const {
    typename RuledIntegers<kLanes>::Integers drawn[1][kVectors];
    random_.Words(stream, group, drawn);
    ForEach<kVectors>([&](int v) { words[v] = __builtin_convertvector(drawn[0][v], typename D::Bits); });
  }

  // A step's draw from its word, as a number: beside 2^52 the last place is 1.
  typename D::V Of(const typename D::Bits& word, int64_t step) const {
    const int place = static_cast<int>(step % random_.per_word()) * bits_;
    const typename D::Bits draw = (word >> place) & ((int64_t{1} << bits_) - 1);
    return reinterpret_cast<typename D::V>(draw | int64_t{0x4330000000000000}) - 0x1p52;
  }

 private:
  const int bits_;
  const RandomVectors<RuledIntegers<kLanes>, 1, kVectors> random_;
};

// One row and kVectors vectors of columns of a tile.
template <bool kExactProducts, int kVectorLanes>
class RuledStochasticRow {
 public:
  using D = DoublesOf<kVectorLanes>;
  using V = typename D::V;
  static constexpr int kLanes = kVectorLanes, kVectors = 2;
  using Draws = RuledDraws<kLanes, kVectors>;
  using Sums = V[1][kVectors];

  RuledStochasticRow(const RuledConstants& c, const TileArgs& args)
      : product_(kExactProducts ? c.accumulator : c.product),
        accumulator_(c.accumulator),
        draw_unit_(D::Set(std::ldexp(1.0, -c.random_bits))),
        args_(args) {}

  // For OuterSums.
  static V Zero() { return V{}; }
  static V Load(const float* p) { return D::Load(p); }

  void Run(const Draws& draws, int row, int column) const {
    const SumOrder& order = *args_.order;
    OuterSums<RuledStochasticRow, 1, kVectors> outer(order);
    const float* starts = args_.starts == nullptr ? nullptr : args_.starts + row * kColumnPanel + column;
    const float* chain_starts = order.is_one_chain ? starts : nullptr;
    if (starts != nullptr && chain_starts == nullptr) outer.Start(starts, kColumnPanel);
    for (int64_t begin = 0; begin < args_.depth; begin += order.chunk()) {
      const int64_t end = std::min(begin + order.chunk(), args_.depth);
      Sums sums;
      StartSums<RuledStochasticRow, 1, kVectors>(chain_starts, kColumnPanel, sums);
      SumChain(draws, args_.rows + row, args_.columns + column, begin, end, sums[0]);
      outer.Add(sums, end, args_.depth, [&](int level, bool is_first, const Sums& group, Sums& total) {
        const bool is_total = is_first && order.is_one_chain;
        if (is_total) ForEach<kVectors>([&](int v) { total[0][v] = group[0][v]; });
        if (!is_total) Join(draws, level, end, group[0], total[0]);
      });
    }
    float* out = args_.out + row * kColumnPanel + column;
    ForEach<kVectors>([&](int v) { D::Store(out + v * kLanes, outer.total()[0][v]); });
  }

 private:
  void SumChain(const Draws& draws, const float* rows, const float* columns, int64_t begin, int64_t end,
                V (&sums)[kVectors]) const {
    for (int64_t k = begin; k < end;) {
      const int64_t group = draws.GroupOf(k), last = std::min(draws.EndOf(group), end);
      typename Draws::Words of_products, of_sums;
      if constexpr (!kExactProducts) draws.Load(0, group, of_products);
      draws.Load(1, group, of_sums);
      for (; k < last; ++k) {
        const V row = D::Set(rows[k * kRowPanel]);
        ForEach<kVectors>([&](int v) {
          V product = row * D::Load(columns + k * kColumnPanel + v * kLanes);
          if constexpr (!kExactProducts) product = Rounded(product, product_, draws.Of(of_products[v], k));
          sums[v] = Rounded(D::AddToOdd(product, sums[v]), accumulator_, draws.Of(of_sums[v], k));
        });
      }
    }
  }

  // The draws of a join are those of its first product.
  void Join(const Draws& draws, int level, int64_t end, const V (&group)[kVectors], V (&total)[kVectors]) const {
    const int64_t length = args_.order->lengths[level], first = (end - 1) / length * length;
    typename Draws::Words words;
    draws.Load(level + 2, draws.GroupOf(first), words);
    ForEach<kVectors>(
        [&](int v) { total[v] = Rounded(D::AddToOdd(group[v], total[v]), accumulator_, draws.Of(words[v], first)); });
  }

  V Rounded(V value, const RuledLimits<kLanes>& limits, V draw) const {
    const V magnitude = limits.Bounded(D::Magnitude(value)), unit = limits.Unit(magnitude);
    const V lower = LowerMultiple<kLanes>(magnitude, unit);
    const V missing = unit - unit * draw_unit_ * draw;  // what reaches the next multiple
    return limits.Limited(lower + D::Where(magnitude - lower >= missing, unit, V{}), D::SignOf(value));
  }

  const RuledLimits<kLanes> product_, accumulator_;
  const V draw_unit_;
  const TileArgs& args_;
};

// Panels hold columns past the count; what becomes of them is nobody's.
template <bool kExactProducts, int kLanes>
[[gnu::flatten]] void RunRuledStochastic(const TileArgs& args) {
  using Row = RuledStochasticRow<kExactProducts, kLanes>;
  const RuledConstants& c = *static_cast<const RuledConstants*>(args.constants);
  const Row rows(c, args);
  constexpr int kStep = Row::kVectors * kLanes;
  static_assert(kColumnPanel % kStep == 0, "no block may pass the panel");
  for (int column = 0; column < args.column_count; column += kStep) {
    for (int row = 0; row < args.row_count; ++row) {
      rows.Run({c, args.places, row, column, args.order->levels + 2}, row, column);
    }
  }
}

}  // namespace
}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_RULED_STOCHASTIC_H_
