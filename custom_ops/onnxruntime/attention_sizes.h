// Which shapes the attention operators take and make; as of shape_rules.h, dimensions may be unknown.
#ifndef LBA_ONNXRUNTIME_ATTENTION_SIZES_H_
#define LBA_ONNXRUNTIME_ATTENTION_SIZES_H_

#include <cstdint>

#include "common/attribute_reader.h"
#include "onnxruntime/ort_api.h"

namespace lba::ort {

// Names as error messages call the inputs.
struct AttentionNames {
  const char* q;
  const char* k;
  const char* v;
  const char* past_k;
  const char* past_v;
};

struct AttentionShapes {
  Shape q, k, v, past_k, past_v;
};

// Of q [batch, rows, heads * size] or [batch, heads, rows, size]; of k and v likewise; of caches the latter. heads and
// kv_heads come in as attributes, 0 for none, which only q and k of rank 4 can do without.
struct AttentionSizes {
  Dimension batch, heads, kv_heads;
  Dimension rows, new_keys, past;  // past is 0 where there is no cache
  Dimension size, value_size;
  size_t q_rank = 0;
};

// Throws std::invalid_argument with what was expected and what came.
AttentionSizes AttentionSizesOf(const AttentionNames& names, const AttentionShapes& shapes, int64_t heads,
                                int64_t kv_heads);
// Throws std::invalid_argument for a bias that does not broadcast to [batch, heads, rows, keys].
void CheckBias(const char* name, const Shape& bias, const AttentionSizes& sizes, const Dimension& keys);

// Empty where the rank is not known.
Shape AttentionOutput(const AttentionSizes& sizes);
Shape CacheOutput(const AttentionSizes& sizes, const Dimension& keys, const Dimension& size);
Shape ScoresOutput(const AttentionSizes& sizes, const Dimension& keys);
Dimension Sum(const Dimension& first, const Dimension& second);

// An attribute that is at least 1; 0 where it is absent and may be.
int64_t ReadHeads(const AttributeReader& attributes, const char* name, bool is_required);

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_ATTENTION_SIZES_H_
