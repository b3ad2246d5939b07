// LbaMultiHeadAttention, LbaGroupQueryAttention and LbaAttention.
#include <algorithm>
#include <functional>
#include <limits>
#include <string>

#include "common/arguments.h"
#include "onnxruntime/attention_run.h"
#include "onnxruntime/operator_registry.h"
#include "onnxruntime/shape_inference.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

constexpr AttentionNames kMicrosoftNames{"query", "key", "value", "past_key", "past_value"};
constexpr AttentionNames kStandardNames{"Q", "K", "V", "past_key", "past_value"};

float ReadFloat(const AttributeReader& attributes, const char* name) {
  float value = 0;
  attributes.Read(name, &value);
  return value;
}

int64_t ReadInt(const AttributeReader& attributes, const char* name, int64_t value) {
  attributes.Read(name, &value);
  return value;
}

bool ReadFlag(const AttributeReader& attributes, const char* name, bool value) {
  return ReadInt(attributes, name, value) != 0;
}

// One of the values from `first`, the default, to `last`, counted from 0.
size_t ReadChoice(const AttributeReader& attributes, const char* name, int64_t first, int64_t last) {
  const int64_t value = ReadInt(attributes, name, first);
  Require(value >= first && value <= last, std::string("attribute ") + name + ": expected " + std::to_string(first) +
                                               " to " + std::to_string(last) + ", got " + std::to_string(value));
  return static_cast<size_t>(value - first);
}

struct HeadCounts {
  int64_t heads, kv_heads;
};

HeadCounts MultiHeadCounts(const AttributeReader& attributes) {
  const int64_t heads = ReadHeads(attributes, "num_heads", true);
  return {heads, heads};
}

HeadCounts GroupHeadCounts(const AttributeReader& attributes) {
  return {ReadHeads(attributes, "num_heads", true), ReadHeads(attributes, "kv_num_heads", true)};
}

HeadCounts StandardHeadCounts(const AttributeReader& attributes) {
  return {ReadHeads(attributes, "q_num_heads", false), ReadHeads(attributes, "kv_num_heads", false)};
}

using ShapeOfInput = std::function<Shape(size_t)>;

AttentionSizes SizesOf(const AttentionNames& names, const HeadCounts& counts, const ShapeOfInput& shape) {
  return AttentionSizesOf(names, {shape(0), shape(1), shape(2), shape(3), shape(4)}, counts.heads, counts.kv_heads);
}

// As far as shapes are known when the node is created; the rank of q, k and v has to be.
void CheckKnownSizes(const Node& node, const AttentionNames& names, const HeadCounts& counts) {
  const auto shape = [&](size_t index) { return node.InputShape(index); };
  if (shape(0).empty() || shape(1).empty() || shape(2).empty()) return;
  if (node.HasInput(3) != node.HasInput(4) || (shape(3).empty() == shape(4).empty())) SizesOf(names, counts, shape);
}

AttentionCall ReadCall(const Call& call, const AttentionNames& names, const HeadCounts& counts) {
  AttentionCall attention;
  Tensor* const tensors[] = {&attention.q, &attention.k, &attention.v, &attention.past_k, &attention.past_v};
  for (size_t i = 0; i < 5; ++i) *tensors[i] = call.Input(i);
  for (size_t i = 0; i < 3; ++i) RequireRank(*tensors[i]);
  attention.sizes = SizesOf(names, counts, [&](size_t index) { return KnownShape(tensors[index]->dimensions); });
  return attention;
}

// Caches that grow by the new keys. `is_causal`: a row sees the keys before it and its own.
void SeeAll(bool is_causal, AttentionCall* attention) {
  const AttentionSizes& sizes = attention->sizes;
  attention->keys = attention->cache_rows = attention->score_keys = sizes.past.value + sizes.new_keys.value;
  attention->past_rows.assign(static_cast<size_t>(sizes.batch.value), sizes.past.value);
  for (int64_t i = 0; i < sizes.batch.value * sizes.rows.value; ++i) {
    const int64_t before = sizes.past.value + i % sizes.rows.value + 1;
    attention->seen.push_back({0, is_causal ? std::min(before, attention->keys) : attention->keys});
  }
}

void ReadBias(const Call& call, size_t index, const char* name, AttentionCall* attention) {
  attention->bias = call.Input(index);
  CheckBias(name, KnownShape(attention->bias.dimensions), attention->sizes, {attention->keys, ""});
}

class MultiHeadAttentionKernel : public Kernel {
 public:
  explicit MultiHeadAttentionKernel(const Node& node)
      : arithmetic_(node),
        counts_(MultiHeadCounts(node.attributes())),
        scale_(ReadFloat(node.attributes(), "scale")),
        is_causal_(ReadFlag(node.attributes(), "unidirectional", false)) {
    CheckKnownSizes(node, kMicrosoftNames, counts_);
  }

  void Compute(const Call& call) const override {
    AttentionCall attention = ReadCall(call, kMicrosoftNames, counts_);
    const AttentionSizes& sizes = attention.sizes;
    Require(!is_causal_ || sizes.rows.value == sizes.new_keys.value,
            "expected as many rows in query as in key with unidirectional=1, got " + std::to_string(sizes.rows.value) +
                " and " + std::to_string(sizes.new_keys.value));
    SeeAll(is_causal_, &attention);
    ReadBias(call, 5, "attention_bias", &attention);
    attention.scale = scale_;
    RunAttention(arithmetic_, attention, call);
  }

 private:
  AttentionArithmetic arithmetic_;
  HeadCounts counts_;
  float scale_;
  bool is_causal_;
};

class GroupQueryAttentionKernel : public Kernel {
 public:
  explicit GroupQueryAttentionKernel(const Node& node)
      : arithmetic_(node),
        counts_(GroupHeadCounts(node.attributes())),
        scale_(ReadFloat(node.attributes(), "scale")),
        softcap_(ReadFloat(node.attributes(), "softcap")),
        window_(ReadInt(node.attributes(), "local_window_size", -1)),
        is_causal_(ReadFlag(node.attributes(), "causal", true)),
        stage_(ReadStage(node.attributes())) {
    CheckKnownSizes(node, kMicrosoftNames, counts_);
  }

  void Compute(const Call& call) const override {
    AttentionCall attention = ReadCall(call, kMicrosoftNames, counts_);
    const AttentionSizes& sizes = attention.sizes;
    Require(sizes.rows.value == sizes.new_keys.value, "expected as many rows in query as in key, got " +
                                                          std::to_string(sizes.rows.value) + " and " +
                                                          std::to_string(sizes.new_keys.value));
    ReadLengths(call, &attention);
    attention.sinks = call.Input(7);
    Require(!attention.sinks.is_present() || attention.sinks.dimensions == std::vector<int64_t>{counts_.heads},
            "expected head_sink [" + std::to_string(counts_.heads) + "], got " +
                ToString(KnownShape(attention.sinks.dimensions)));
    ReadBias(call, 8, "attention_bias", &attention);
    attention.scale = scale_;
    attention.softcap = softcap_;
    attention.stage = stage_;
    RunAttention(arithmetic_, attention, call);
  }

 private:
  static ScoreStage ReadStage(const AttributeReader& attributes) {
    constexpr ScoreStage kStages[] = {ScoreStage::kBiased, ScoreStage::kProbabilities};
    return kStages[ReadChoice(attributes, "qk_output", 1, 2)];
  }

  // seqlens_k: of each batch entry, one less than the keys that it has with the new ones. A prompt is as long as the
  // total; shorter ones in its batch are padded behind.
  void ReadLengths(const Call& call, AttentionCall* attention) const {
    const AttentionSizes& sizes = attention->sizes;
    const Tensor lengths = call.Input(5), total = call.Input(6);
    Require(lengths.count() == sizes.batch.value && total.count() == 1,
            "expected seqlens_k [" + std::to_string(sizes.batch.value) + "] and one total_sequence_length, got " +
                ToString(KnownShape(lengths.dimensions)) + " and " + ToString(KnownShape(total.dimensions)));
    const int64_t longest = *static_cast<const int32_t*>(total.data);
    const bool is_prompt = longest == sizes.rows.value;
    attention->cache_rows = std::max(sizes.past.value, longest);
    attention->score_keys = longest;
    for (int64_t entry = 0; entry < sizes.batch.value; ++entry) {
      const int64_t keys = int64_t{static_cast<const int32_t*>(lengths.data)[entry]} + 1;
      const int64_t past = is_prompt ? 0 : keys - sizes.rows.value;
      Require(past >= 0 && past <= sizes.past.value && keys >= 1 && keys <= longest &&
                  past + sizes.rows.value <= attention->cache_rows,
              "expected seqlens_k that fit " + std::to_string(sizes.rows.value) + " new rows, a cache of " +
                  std::to_string(sizes.past.value) + " and a total_sequence_length of " + std::to_string(longest) +
                  ", got " + std::to_string(keys - 1));
      attention->keys = std::max(attention->keys, keys);
      attention->past_rows.push_back(past);
      SeeKeys(past, keys, sizes.rows.value, &attention->seen);
    }
  }

  void SeeKeys(int64_t past, int64_t keys, int64_t rows, std::vector<KeyRange>* seen) const {
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t before = past + row + 1;
      const int64_t first = window_ > 0 ? std::max<int64_t>(before - window_, 0) : 0;
      seen->push_back({first, is_causal_ ? std::min(before, keys) : keys});
    }
  }

  AttentionArithmetic arithmetic_;
  HeadCounts counts_;
  float scale_, softcap_;
  int64_t window_;
  bool is_causal_;
  ScoreStage stage_;
};

class AttentionKernel : public Kernel {
 public:
  explicit AttentionKernel(const Node& node)
      : arithmetic_(node),
        counts_(StandardHeadCounts(node.attributes())),
        scale_(ReadFloat(node.attributes(), "scale")),
        softcap_(ReadFloat(node.attributes(), "softcap")),
        is_causal_(ReadFlag(node.attributes(), "is_causal", false)),
        stage_(ReadStage(node.attributes())) {
    CheckKnownSizes(node, kStandardNames, counts_);
  }

  void Compute(const Call& call) const override {
    AttentionCall attention = ReadCall(call, kStandardNames, counts_);
    SeeAll(is_causal_, &attention);
    ReadBias(call, 5, "attn_mask", &attention);
    attention.scale = scale_;
    attention.softcap = softcap_;
    attention.stage = stage_;
    attention.hidden_score = -std::numeric_limits<float>::infinity();
    RunAttention(arithmetic_, attention, call);
  }

 private:
  static ScoreStage ReadStage(const AttributeReader& attributes) {
    constexpr ScoreStage kStages[] = {ScoreStage::kScaled, ScoreStage::kCapped, ScoreStage::kBiased,
                                      ScoreStage::kProbabilities};
    return kStages[ReadChoice(attributes, "qk_matmul_output_mode", 0, 3)];
  }

  AttentionArithmetic arithmetic_;
  HeadCounts counts_;
  float scale_, softcap_;
  bool is_causal_;
  ScoreStage stage_;
};

// Returns how many keys there are; `grows`: caches hold the past and the new ones, and all of them are attended to.
Dimension InferOutputs(const Api* api, const ShapeInferContext* context, const AttentionSizes& sizes, bool grows) {
  const Dimension keys = grows ? Sum(sizes.past, sizes.new_keys) : Dimension{};
  InferOutput(api, context, AttentionOutput(sizes), 0);
  InferOutput(api, context, CacheOutput(sizes, keys, sizes.size), 1);
  InferOutput(api, context, CacheOutput(sizes, keys, sizes.value_size), 2);
  return keys;
}

// Throws where the rank of q, k or v is not known, so that all stays open.
AttentionSizes InferSizes(const Api* api, const ShapeInferContext* context, const AttentionNames& names,
                          const HeadCounts& counts) {
  return SizesOf(names, counts, [&](size_t index) { return InferredInput(api, context, index); });
}

void InferMultiHeadAttention(const Api* api, const ShapeInferContext* context) {
  const HeadCounts counts = MultiHeadCounts(InferenceAttributes(api, context));
  InferOutputs(api, context, InferSizes(api, context, kMicrosoftNames, counts), true);
}

void InferGroupQueryAttention(const Api* api, const ShapeInferContext* context) {
  const HeadCounts counts = GroupHeadCounts(InferenceAttributes(api, context));
  const AttentionSizes sizes = InferSizes(api, context, kMicrosoftNames, counts);
  InferOutput(api, context, ScoresOutput(sizes, InferOutputs(api, context, sizes, false)), 3);
}

void InferAttention(const Api* api, const ShapeInferContext* context) {
  const HeadCounts counts = StandardHeadCounts(InferenceAttributes(api, context));
  const AttentionSizes sizes = InferSizes(api, context, kStandardNames, counts);
  InferOutput(api, context, ScoresOutput(sizes, InferOutputs(api, context, sizes, true)), 3);
}

template <typename Of>
std::unique_ptr<Kernel> Make(const Node& node) {
  return std::make_unique<Of>(node);
}

std::vector<Signature> SignaturesOf(const std::vector<size_t>& int32_inputs, size_t inputs, size_t outputs) {
  std::vector<Signature> signatures;
  for (const ElementType type : {kFloat32, kFloat16}) {
    signatures.push_back({std::vector<ElementType>(inputs, type), std::vector<ElementType>(outputs, type)});
    for (const size_t index : int32_inputs) signatures.back().inputs[index] = kInt32;
  }
  return signatures;
}

const OperatorRegistration multi_head_attention({"LbaMultiHeadAttention", 6, 3, Make<MultiHeadAttentionKernel>, nullptr,
                                                 InferMultiHeadAttention, SignaturesOf({}, 6, 3)});
const OperatorRegistration group_query_attention({"LbaGroupQueryAttention", 9, 7, Make<GroupQueryAttentionKernel>,
                                                  nullptr, InferGroupQueryAttention, SignaturesOf({5, 6}, 9, 4)});
const OperatorRegistration attention({"LbaAttention", 6, 3, Make<AttentionKernel>, nullptr, InferAttention,
                                      SignaturesOf({}, 6, 4)});

}  // namespace
}  // namespace lba::ort
