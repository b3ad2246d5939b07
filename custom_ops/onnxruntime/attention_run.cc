#include "onnxruntime/attention_run.h"

#include <cmath>

#include "arithmetic/attributes.h"
#include "onnxruntime/attention_cache.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

constexpr size_t kKeyCache = 1, kValueCache = 2, kScores = 3;

SharedAccumulator ReadFloatAccumulator(const Node& node, const char* product) {
  SharedAccumulator accumulator = ReadAccumulator(node.attributes(), product);
  RequireFloats(*accumulator);
  return accumulator;
}

AttentionShape ShapeOf(const AttentionCall& attention) {
  const AttentionSizes& sizes = attention.sizes;
  AttentionShape shape;
  shape.batch = sizes.batch.value;
  shape.heads = sizes.heads.value;
  shape.kv_heads = sizes.kv_heads.value;
  shape.rows = sizes.rows.value;
  shape.keys = attention.keys;
  shape.size = sizes.size.value;
  shape.value_size = sizes.value_size.value;
  shape.seen = attention.seen;
  return shape;
}

// Of a bias that CheckBias has accepted.
ScoreBias BiasOf(const Tensor& bias, const float* data) {
  ScoreBias found{data, 0, 0, 0, 0};
  int64_t* const strides[] = {&found.key_stride, &found.row_stride, &found.head_stride, &found.batch_stride};
  int64_t stride = 1;
  for (size_t i = 0; i < bias.dimensions.size(); ++i) {
    const int64_t dimension = bias.dimensions[bias.dimensions.size() - 1 - i];
    *strides[i] = dimension == 1 ? 0 : stride;
    stride *= dimension;
  }
  return found;
}

float ScaleOf(const AttentionCall& attention) {
  if (attention.scale != 0) return attention.scale;
  return 1.0f / std::sqrt(static_cast<float>(attention.sizes.size.value));
}

}  // namespace

AttentionArithmetic::AttentionArithmetic(const Node& node)
    : qk_(ReadFloatAccumulator(node, "qk")),
      pv_(ReadFloatAccumulator(node, "pv")),
      qk_statistics_(ReadStatistics(node.attributes(), "qk")),
      pv_statistics_(ReadStatistics(node.attributes(), "pv")) {}

void RunAttention(const AttentionArithmetic& arithmetic, const AttentionCall& attention, const Call& call) {
  const AttentionSizes& sizes = attention.sizes;
  const SessionParallel parallel(call);
  const ElementType type = attention.q.type;
  const int64_t kv_heads = sizes.kv_heads.value;
  const FloatOutput y(call, type, KnownDimensions(AttentionOutput(sizes)));
  const FloatOutput scores(call, type, KnownDimensions(ScoresOutput(sizes, {attention.score_keys, ""})), kScores);
  const CachedRows k(
      call, {attention.past_k, HeadTensor(attention.k, kv_heads), attention.past_rows, attention.cache_rows, kKeyCache},
      attention.keys, parallel);
  const CachedRows v(
      call,
      {attention.past_v, HeadTensor(attention.v, kv_heads), attention.past_rows, attention.cache_rows, kValueCache},
      attention.keys, parallel);
  Floats queries;
  const Floats bias(attention.bias), sinks(attention.sinks);
  AttentionArguments arguments;
  arguments.q = FloatRows(HeadTensor(attention.q, sizes.heads.value), &queries);
  arguments.k = k.rows();
  arguments.v = v.rows();
  arguments.scale = ScaleOf(attention);
  arguments.softcap = attention.softcap;
  arguments.bias = BiasOf(attention.bias, bias.data());
  arguments.sinks = sinks.data();
  const HeadTensor to(Tensor{kFloat32, KnownDimensions(AttentionOutput(sizes)), y.data()}, sizes.heads.value);
  arguments.y = {y.data(), to.batch_stride, to.head_stride, to.row_stride};
  arguments.stage = scores.data() == nullptr ? ScoreStage::kNone : attention.stage;
  arguments.scores = scores.data();
  arguments.score_keys = attention.score_keys;
  arguments.hidden_score = attention.hidden_score;
  Attend(arithmetic.products(), ShapeOf(attention), arguments, parallel);
  y.Finish();
  scores.Finish();
}

}  // namespace lba::ort
