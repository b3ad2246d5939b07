// What statistics tell of dot products whose sums are sums of sums, by a walk from the outermost level inwards.
#ifndef LBA_TESTS_LEVEL_WALK_H_
#define LBA_TESTS_LEVEL_WALK_H_

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "arithmetic/chunked_float/statistics_chain.h"
#include "lba/statistics.h"
#include "tests/check.h"

namespace lba {

inline SumGroups GroupsOf(const std::vector<int64_t>& sizes) {
  SumGroups groups;
  for (const int64_t size : sizes) groups.sizes[groups.count++] = size;
  return groups;
}

const std::vector<std::vector<int64_t>> kGroupSizes = {{},   {5},    {3, 12}, {1, 2, 6}, {2, 4, 8, 16, 32, 64},
                                                       {40}, {4, 80}};

struct LevelWalk {
  ChunkedFloatConstants formats;
  std::vector<int64_t> sizes;
  Counts counts;

  LevelWalk(const ChunkedFloatConstants& f, const std::vector<int64_t>& s)
      : formats(f), sizes(s), counts(s.size() + 2) {}

  struct Sum {
    double exact = 0, quantized = 0;
  };

  // Sum n of products begin ... end - 1.
  Sum Of(size_t n, const float* x, const float* w, int64_t begin, int64_t end) {
    Sum sum;
    const int64_t step = n == 0 ? 1 : sizes[n - 1];
    for (int64_t k = begin; k < end; k += step) {
      const Sum part = n == 0 ? Product(x[k], w[k]) : Of(n - 1, x, w, k, std::min(k + step, end));
      sum.exact += part.exact;
      const double before = sum.quantized;
      sum.quantized = Quantize(AddToOdd(part.quantized, before), formats.accumulator);
      Count(n + 1, sum.exact, part.quantized + before, sum.quantized, formats.accumulator.max_value);
      const bool is_swamped = part.quantized != 0 && sum.quantized == before;
      counts.levels[n + 1].events[2] += is_swamped && std::fabs(sum.quantized) != formats.accumulator.max_value;
    }
    return sum;
  }

  Sum Product(float x, float w) {
    const double exact = static_cast<double>(x) * static_cast<double>(w);
    const double quantized = Quantize(exact, formats.product);
    Count(0, exact, exact, quantized, formats.product.max_value);
    return {exact, quantized};
  }

  void Count(size_t index, double unquantized, double exact, double quantized, double max_value) {
    LbaLevel& level = counts.levels[index];
    level.max_abs = std::max(level.max_abs, std::fabs(unquantized));
    ++level.values;
    level.events[0] += std::fabs(quantized) == max_value;
    level.events[1] += exact != 0 && quantized == 0;
    if (unquantized != 0) ++level.log2[std::ilogb(unquantized) + LBA_LOG2_OFFSET];
  }
};

// Vectors [count][depth] of quarters: their sums are exact in double. Small formats lose of them by all that is
// counted.
inline std::vector<float> Quarters(int64_t count, int64_t depth, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(count * depth);
  for (float& value : values) value = static_cast<float>(static_cast<int>(random() % 41) - 20) / 4;
  return values;
}

inline ChunkedFloatConstants SmallFormats() {
  const auto of = [](const FloatFormat& format) { return QuantizeConstants::Of(format, true, Rounding::kTruncate); };
  return {of({3, 2, 1}), of({2, 3, 4})};
}

// Operands that lose, and what statistics tell of their products.
struct WalkedCase {
  static constexpr int64_t kRows = 11, kColumns = 37;
  std::vector<float> a, b;
  Counts counts;

  WalkedCase(const std::vector<int64_t>& sizes, int64_t depth)
      : a(Quarters(kRows, depth, 1)), b(Quarters(kColumns, depth, 2)) {
    LevelWalk walk(SmallFormats(), sizes);
    for (int64_t row = 0; row < kRows; ++row) {
      for (int64_t column = 0; column < kColumns; ++column) {
        walk.Of(sizes.size(), &a[row * depth], &b[column * depth], 0, depth);
      }
    }
    counts = walk.counts;
  }
};

// Whether the operands lose by all that is counted, of products and of sums of some level.
inline bool LosesAll(const Counts& counts) {
  int64_t overflows = 0, swamped = 0;
  for (size_t level = 1; level < counts.levels.size(); ++level) {
    overflows += counts.levels[level].events[0];
    swamped += counts.levels[level].events[2];
  }
  return counts.levels[0].events[0] > 0 && counts.levels[0].events[1] > 0 && overflows > 0 && swamped > 0;
}

inline void CheckSame(const Counts& got, const Counts& expected, const std::string& what) {
  CHECK(got.levels.size() == expected.levels.size(), "%s: levels", what.c_str());
  for (size_t i = 0; i < got.levels.size(); ++i) {
    const LbaLevel &found = got.levels[i], &wanted = expected.levels[i];
    CHECK(found.max_abs == wanted.max_abs, "%s, level %zu: expected %a, got %a", what.c_str(), i, wanted.max_abs,
          found.max_abs);
    CHECK(std::memcmp(&found, &wanted, sizeof found) == 0, "%s, level %zu: counts", what.c_str(), i);
  }
}

}  // namespace lba

#endif  // LBA_TESTS_LEVEL_WALK_H_
