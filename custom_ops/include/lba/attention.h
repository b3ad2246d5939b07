// Attention: two products with low bit-width accumulators, and a softmax in float32 between them.
#ifndef LBA_ATTENTION_H_
#define LBA_ATTENTION_H_

#include <cstdint>
#include <vector>

#include "arithmetic/accumulator.h"
#include "lba/parallel.h"
#include "lba/statistics.h"

namespace lba {

// Rows of a tensor [batch][heads][rows][size], whose last dimension is contiguous; strides count elements.
template <typename T>
struct HeadRows {
  T* data = nullptr;
  int64_t batch_stride = 0, head_stride = 0, row_stride = 0;

  T* At(int64_t batch, int64_t head, int64_t row) const {
    return data + batch * batch_stride + head * head_stride + row * row_stride;
  }
};

// The keys that a row sees.
struct KeyRange {
  int64_t first = 0, end = 0;
};

// What is added to scores; strides are 0 where it is broadcast.
struct ScoreBias {
  const float* data = nullptr;  // null: nothing
  int64_t batch_stride = 0, head_stride = 0, row_stride = 0, key_stride = 0;
};

// Which of the values on the way are given beside the result.
enum class ScoreStage { kNone, kScaled, kCapped, kBiased, kProbabilities };

// Each of `heads` heads of q attends to one of `kv_heads` heads of k and v, the same one for neighbours.
struct AttentionShape {
  int64_t batch = 0, heads = 0, kv_heads = 0;
  int64_t rows = 0;                  // of q
  int64_t keys = 0;                  // the depth of the second product
  int64_t size = 0, value_size = 0;  // of a row of q and k, and of v
  std::vector<KeyRange> seen;        // [batch][rows]; keys that a row does not see are not multiplied

  int64_t group() const { return heads / kv_heads; }
  const KeyRange& SeenBy(int64_t entry, int64_t row) const { return seen[static_cast<size_t>(entry * rows + row)]; }
};

struct AttentionArguments {
  HeadRows<const float> q, k, v;
  float scale = 1, softcap = 0;  // a cap of 0 is none
  ScoreBias bias;
  const float* sinks = nullptr;  // [heads]: scores that no key has; null: none
  HeadRows<float> y;
  ScoreStage stage = ScoreStage::kNone;
  float* scores = nullptr;  // [batch][heads][rows][score_keys]: the values at `stage`
  int64_t score_keys = 0;   // at least the keys; none sees those behind
  float hidden_score = 0;   // of keys that a row does not see, before the softmax; 0 behind it
};

// The accumulators of q k^T and of probabilities times v, and where these are counted or shown; both may be null.
struct AttentionProducts {
  const Accumulator& qk;
  const Accumulator& pv;
  StatisticsCollector* qk_statistics = nullptr;
  StatisticsCollector* pv_statistics = nullptr;
};

// Writes y, and scores where asked for. The memory that it takes beside is that of some rows of scores; of all of them
// where products are counted or shown, each in one call.
void Attend(const AttentionProducts& products, const AttentionShape& shape, const AttentionArguments& arguments,
            const Parallel& parallel);

}  // namespace lba

#endif  // LBA_ATTENTION_H_
