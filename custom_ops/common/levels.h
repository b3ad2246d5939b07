// Sums within sums, as kernels know them: how many products the groups of each level hold, and the events of a chain.
#ifndef LBA_COMMON_LEVELS_H_
#define LBA_COMMON_LEVELS_H_

#include <cstdint>

#include "common/host_device.h"
#include "common/sum_order.h"
#include "lba/c_api.h"

namespace lba {

constexpr int kMaxGroups = SumOrder::kMostLevels;  // partial sums
constexpr int kMaxSums = kMaxGroups + 1;           // these and the total
constexpr int kMaxLevels = kMaxSums + 1;           // these and products

// How many products a group of each level of partial sums holds, innermost first; each is a multiple of the one before.
// Sums are numbered likewise: sum 0 takes products, sum n + 1 the sums n of groups that end, and sum `count` is the
// total. Levels count from products: sum n is of level n + 1.
struct SumGroups {
  int count = 0;
  int64_t sizes[kMaxGroups]{};
  int64_t restart = 0;  // products after which groups of all levels start anew, whatever their sizes; 0: none

  SumGroups() = default;
  explicit SumGroups(int64_t chunk) : count(1) { sizes[0] = chunk; }

  LBA_HOST_DEVICE int levels() const { return count + 2; }
  // Products in a row whose sum nothing interrupts.
  LBA_HOST_DEVICE int64_t RunLength(int64_t depth) const { return count == 0 || sizes[0] > depth ? depth : sizes[0]; }
  // Where a row of products that begins there ends, likewise; groups may restart.
  LBA_HOST_DEVICE int64_t RunEnd(int64_t begin, int64_t depth) const {
    if (count == 0) return depth;
    const int64_t place = PlaceOf(begin);
    int64_t length = sizes[0] - place % sizes[0];
    if (restart != 0 && restart - place < length) length = restart - place;
    return length < depth - begin ? begin + length : depth;
  }
  // Whether a group of sum n ends behind the first `end` products.
  LBA_HOST_DEVICE bool Ends(int n, int64_t end, int64_t depth) const {
    return end == depth || PlaceOf(end) % sizes[n] == 0;
  }
  // Calls join(n) for each sum n, innermost first, whose group ends behind the first `end` products.
  template <class Join>
  void ForEachEnded(int64_t end, int64_t depth, const Join& join) const {
    for (int n = 0; n < count && Ends(n, end, depth); ++n) join(n);
  }

 private:
  LBA_HOST_DEVICE int64_t PlaceOf(int64_t k) const { return restart == 0 ? k : k % restart; }
};

// What happened to the values of the quantized chains, by level.
struct LevelEvents {
  int64_t values = 0;
  int64_t events[LBA_LEVEL_EVENTS]{};
};
struct ChainEvents {
  LevelEvents levels[kMaxLevels];
};

}  // namespace lba

#endif  // LBA_COMMON_LEVELS_H_
