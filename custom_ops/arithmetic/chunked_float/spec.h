// Chunked floats: products and sums are quantized to two formats, sums in chunks (docs/numerics.md). Their text is
// "M7E4b12/M7E4b10,chunk=32x8,tree=4,underflow=off,round=nearest". Both formats have the same codes of IEEE 754.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_SPEC_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_SPEC_H_

#include <cstdint>
#include <string>
#include <vector>

#include "arithmetic/formats.h"
#include "common/levels.h"
#include "common/sum_order.h"

namespace lba {

// What becomes of the bits that a format has no room for.
enum class Rounding {
  kTruncate,
  kNearest,      // ties to even
  kNearestAway,  // ties away from zero
  kOdd,          // toward zero, and the last bit set where anything was dropped
  kStochastic,   // random_bits bits more are kept; a random integer of so many bits is added there, and the sum is cut
};

struct AccumulatorSpec {
  FloatFormat product_format;
  FloatFormat accumulator_format;
  int64_t chunk_size = 16;            // of products, or of trees; 0: one chain over the whole depth
  std::vector<int64_t> outer_chunks;  // of chains of sums, innermost first
  int64_t tree = 0;                   // products an adder tree sums; 0: no tree
  int64_t lanes = 0;                  // chains side by side in an innermost chunk; 0: one
  bool carries = false;               // the running sum into innermost trees and lanes
  bool underflow = true;
  Rounding rounding = Rounding::kTruncate;
  int random_bits = 0;          // of each draw, for kStochastic
  uint64_t seed = 0;            // likewise
  bool exact_products = false;  // product_format is not used

  // Whether products and sums are floats without the codes of IEEE 754, truncated or to nearest: fast kernels are for
  // these.
  bool IsPlain() const;
  // The groups of a dot product of this depth, none longer than it.
  SumOrder Order(int64_t depth) const;
  // The same for statistics, which count the levels of one group, too.
  SumGroups Groups(int64_t depth) const;
};

// Returns an empty string if the emulation can represent the specification, else the reason.
std::string CheckSpec(const AccumulatorSpec& spec);

// Whether a text begins as one of a chunked float does.
bool IsChunkedFloat(const std::string& text);

// Reads one format, the accumulator's, with a product of the same bits whose bias lies floor(log2(group) / 2) above; or
// product/accumulator; then options in any order, each at most once. Throws std::invalid_argument with the character at
// fault.
AccumulatorSpec ParseSpec(const std::string& text);

// What ParseSpec reads: both formats, then what is not the default.
std::string TextOf(const AccumulatorSpec& spec);

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_SPEC_H_
