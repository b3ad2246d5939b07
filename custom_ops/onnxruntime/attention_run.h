// What the attention operators have in common: from the tensors of a call to its outputs.
#ifndef LBA_ONNXRUNTIME_ATTENTION_RUN_H_
#define LBA_ONNXRUNTIME_ATTENTION_RUN_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "arithmetic/accumulator.h"
#include "lba/attention.h"
#include "onnxruntime/attention_sizes.h"
#include "onnxruntime/kernel.h"

namespace lba::ort {

// The accumulators of a node's products "qk" and "pv", and their statistics.
class AttentionArithmetic {
 public:
  explicit AttentionArithmetic(const Node& node);

  AttentionProducts products() const { return {*qk_, *pv_, qk_statistics_.get(), pv_statistics_.get()}; }

 private:
  SharedAccumulator qk_, pv_;
  std::shared_ptr<StatisticsCollector> qk_statistics_, pv_statistics_;
};

// A call with all sizes known.
struct AttentionCall {
  AttentionSizes sizes;
  Tensor q, k, v, past_k, past_v;
  Tensor bias, sinks;              // may be absent
  std::vector<int64_t> past_rows;  // of each batch entry: keys before the new ones
  int64_t keys = 0;                // that are multiplied: the most that a batch entry has
  int64_t cache_rows = 0;          // of the caches that are written
  std::vector<KeyRange> seen;      // [batch][rows]
  float scale = 0, softcap = 0;    // a scale of 0 is 1 / sqrt(size)
  ScoreStage stage = ScoreStage::kNone;
  int64_t score_keys = 0;  // of the scores that are given; at least `keys`
  float hidden_score = 0;  // of keys that a row does not see
};

// Writes the outputs 0 (the result), 1 and 2 (caches) and, unless its stage is kNone, 3 (scores), as far as the node
// has them.
void RunAttention(const AttentionArithmetic& arithmetic, const AttentionCall& attention, const Call& call);

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_ATTENTION_RUN_H_
