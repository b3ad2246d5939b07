#include "onnxruntime/attention_sizes.h"

#include <limits>
#include <stdexcept>
#include <string>

#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

constexpr size_t kJoinedRank = 3, kSplitRank = 4;

[[noreturn]] void Fail(const std::string& expected, const std::string& got) {
  throw std::invalid_argument("expected " + expected + ", got " + got);
}

bool Differ(const Dimension& first, const Dimension& second) {
  return first.is_known() && second.is_known() && first.value != second.value;
}

// The known one of two dimensions that have to be equal.
Dimension Same(const Dimension& first, const Dimension& second, const std::string& expected, const Shape& shape) {
  if (Differ(first, second)) Fail(expected + " " + std::to_string(first.value), ToString(shape));
  return first.is_known() ? first : second;
}

struct Heads {
  Dimension batch, heads, rows, size;
};

Heads HeadsOf(const char* name, const Shape& shape, int64_t heads) {
  const std::string text(name);
  if (shape.size() == kSplitRank) return {shape[0], shape[1], shape[2], shape[3]};
  if (shape.size() != kJoinedRank) Fail(text + " of rank 3 or 4", ToString(shape));
  if (heads == 0) Fail("an attribute with the number of heads beside " + text + " of rank 3", "none");
  const Dimension& joined = shape[2];
  if (joined.is_known() && joined.value % heads != 0) {
    Fail(text + " whose last dimension is a multiple of " + std::to_string(heads) + " heads", ToString(shape));
  }
  return {shape[0], {heads, ""}, shape[1], {joined.is_known() ? joined.value / heads : -1, ""}};
}

void CheckHeads(const char* name, const Heads& found, int64_t heads, const Shape& shape) {
  if (heads != 0) Same({heads, ""}, found.heads, std::string(name) + " with heads:", shape);
}

Dimension PastOf(const AttentionNames& names, const AttentionShapes& shapes, AttentionSizes* sizes) {
  if (shapes.past_k.empty() != shapes.past_v.empty()) {
    Fail(std::string("both ") + names.past_k + " and " + names.past_v + ", or neither", "one");
  }
  if (shapes.past_k.empty()) return {0, ""};
  if (shapes.past_k.size() != kSplitRank) Fail(std::string(names.past_k) + " of rank 4", ToString(shapes.past_k));
  if (shapes.past_v.size() != kSplitRank) Fail(std::string(names.past_v) + " of rank 4", ToString(shapes.past_v));
  const auto check = [&](const char* name, const Shape& past, Dimension* size) {
    const std::string text(name);
    sizes->batch = Same(sizes->batch, past[0], text + " of batch size", past);
    sizes->kv_heads = Same(sizes->kv_heads, past[1], text + " with heads:", past);
    *size = Same(*size, past[3], text + " with rows of size", past);
  };
  check(names.past_k, shapes.past_k, &sizes->size);
  check(names.past_v, shapes.past_v, &sizes->value_size);
  return Same(shapes.past_k[2], shapes.past_v[2], std::string(names.past_v) + " with rows:", shapes.past_v);
}

void CheckGroups(const char* name, const AttentionSizes& sizes) {
  if (!sizes.heads.is_known() || !sizes.kv_heads.is_known()) return;
  if (sizes.kv_heads.value > 0 && sizes.heads.value % sizes.kv_heads.value == 0) return;
  Fail(std::string("as many heads of ") + name + " as a multiple of " + std::to_string(sizes.kv_heads.value) +
           " heads of keys",
       std::to_string(sizes.heads.value));
}

}  // namespace

AttentionSizes AttentionSizesOf(const AttentionNames& names, const AttentionShapes& shapes, int64_t heads,
                                int64_t kv_heads) {
  AttentionSizes sizes;
  const Heads q = HeadsOf(names.q, shapes.q, heads);
  const Heads k = HeadsOf(names.k, shapes.k, kv_heads);
  const Heads v = HeadsOf(names.v, shapes.v, kv_heads);
  CheckHeads(names.q, q, heads, shapes.q);
  CheckHeads(names.k, k, kv_heads, shapes.k);
  const std::string key(names.k), value(names.v);
  sizes.q_rank = shapes.q.size();
  sizes.heads = q.heads;
  sizes.rows = q.rows;
  sizes.kv_heads = Same(k.heads, v.heads, value + " with heads:", shapes.v);
  sizes.batch =
      Same(Same(q.batch, k.batch, key + " of batch size", shapes.k), v.batch, value + " of batch size", shapes.v);
  sizes.size = Same(q.size, k.size, key + " with rows of size", shapes.k);
  sizes.value_size = v.size;
  sizes.new_keys = Same(k.rows, v.rows, value + " with rows:", shapes.v);
  sizes.past = PastOf(names, shapes, &sizes);
  CheckGroups(names.q, sizes);
  return sizes;
}

void CheckBias(const char* name, const Shape& bias, const AttentionSizes& sizes, const Dimension& keys) {
  const Shape scores = ScoresOutput(sizes, keys);
  bool fits = bias.size() <= scores.size();
  for (size_t i = 0; fits && i < bias.size(); ++i) {
    const Dimension& dimension = bias[bias.size() - 1 - i];
    fits = dimension.value == 1 || !Differ(dimension, scores[scores.size() - 1 - i]);
  }
  if (!fits) Fail(std::string(name) + " that broadcasts to " + ToString(scores), ToString(bias));
}

Shape AttentionOutput(const AttentionSizes& sizes) {
  if (sizes.q_rank == kSplitRank) return {sizes.batch, sizes.heads, sizes.rows, sizes.value_size};
  const bool is_known = sizes.heads.is_known() && sizes.value_size.is_known();
  return {sizes.batch, sizes.rows, {is_known ? sizes.heads.value * sizes.value_size.value : -1, ""}};
}

Shape CacheOutput(const AttentionSizes& sizes, const Dimension& keys, const Dimension& size) {
  return {sizes.batch, sizes.kv_heads, keys, size};
}

Shape ScoresOutput(const AttentionSizes& sizes, const Dimension& keys) {
  return {sizes.batch, sizes.heads, sizes.rows, keys};
}

Dimension Sum(const Dimension& first, const Dimension& second) {
  if (first.value == 0) return second;
  if (second.value == 0) return first;
  if (!first.is_known() || !second.is_known()) return {};
  return {first.value + second.value, ""};
}

int64_t ReadHeads(const AttributeReader& attributes, const char* name, bool is_required) {
  int64_t heads = 0;
  const bool is_there = attributes.Read(name, &heads);
  if (!is_there && !is_required) return 0;
  if (heads >= 1 && heads <= std::numeric_limits<int32_t>::max()) return heads;
  throw std::invalid_argument(std::string("attribute ") + name + ": expected a number of heads, got " +
                              (is_there ? std::to_string(heads) : "none"));
}

}  // namespace lba::ort
