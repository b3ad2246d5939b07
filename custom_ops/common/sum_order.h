// In which groups the products of one dot product are summed: chains of products, the sums of these in chains, and so
// on; what the last groups sum up to is added in one chain. Instead of the innermost chains there may be adder trees:
// neighbours are added first, then neighbours of these sums; an odd one passes up.
#ifndef LBA_COMMON_SUM_ORDER_H_
#define LBA_COMMON_SUM_ORDER_H_

#include <cstdint>

#include "common/host_device.h"

namespace lba {

struct SumOrder {
  static constexpr int kMostLevels = 8;
  static constexpr int64_t kLargestTree = 1024;
  static constexpr int kMostWaiting = 12;  // sums in such a tree that wait for their neighbours

  int64_t lengths[kMostLevels] = {1};  // products of a group of each level at most, each a multiple of the one before
  int levels = 1;
  static constexpr int kMostLanes = 64;

  bool is_tree = false;       // of the innermost groups
  int lanes = 0;              // chains side by side that sum an innermost group, then a tree their sums; 0: one chain
  bool carries = false;       // into innermost trees and lanes, as their first item, the running sum of what holds them
  bool is_one_chain = false;  // no groups: their one sum is the total, and joins nothing

  LBA_HOST_DEVICE int64_t chunk() const { return lengths[0]; }
  // Of the last chain, whose sum is the total: 1 for products, then one more for each level further out.
  LBA_HOST_DEVICE int last_level() const { return is_one_chain ? 1 : levels + 1; }
  // Whether a chain of this level (the innermost of sums is 0) ends with product end - 1, so that its sum passes on.
  LBA_HOST_DEVICE bool Passes(int level, int64_t end, int64_t depth) const {
    return level + 1 < levels && (end % lengths[level + 1] == 0 || end == depth);
  }
};

}  // namespace lba

#endif  // LBA_COMMON_SUM_ORDER_H_
