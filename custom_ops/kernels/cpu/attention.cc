#include "lba/attention.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

#include "kernels/cpu/fp_environment.h"
#include "kernels/cpu/planner.h"
#include "kernels/cpu/softmax.h"
#include "lba/matmul.h"

namespace lba {
namespace {

constexpr int64_t kBlockScores = 256 * 1024;  // that one task keeps
constexpr int64_t kLeastRows = 8, kMostRows = 64;

// Some rows of all heads that share one head of k and v, and the keys that any of them sees, from `begin` on.
struct Block {
  int64_t entry, kv_head;
  int64_t first_row, rows;
  int64_t begin, end;

  int64_t keys() const { return end - begin; }
};

struct Problem {
  const AttentionProducts& products;
  const AttentionShape& shape;
  const AttentionArguments& arguments;
};

// Products of zero in front of the keys that a row sees are left out by the group that its accumulator sums them in,
// where they change nothing: neither its random bits nor its slices.
int64_t KeysOfAGroup(const AttentionShape& shape, const Accumulator& accumulator) {
  const std::shared_ptr<const Planner> plan = PlannerOf(accumulator, shape.keys);
  const SumOrder& order = plan->order();
  if (plan->differs_by_place()) return shape.keys;
  return order.is_one_chain ? kSumLanes : std::min(shape.keys, order.lengths[order.levels - 1]) * kSumLanes;
}

int64_t RowsOfABlock(const AttentionShape& shape) {
  const int64_t row_scores = std::max<int64_t>(shape.group() * shape.keys, 1);
  return std::min(std::clamp(kBlockScores / row_scores, kLeastRows, kMostRows), shape.rows);
}

Block MakeBlock(const Problem& problem, int64_t entry, int64_t kv_head, int64_t first_row, int64_t rows) {
  const AttentionShape& shape = problem.shape;
  Block block{entry, kv_head, first_row, rows, shape.keys, 0};
  for (int64_t row = first_row; row < first_row + rows; ++row) {
    const KeyRange& seen = shape.SeenBy(entry, row);
    if (seen.first >= seen.end) continue;
    block.begin = std::min(block.begin, seen.first);
    block.end = std::max(block.end, seen.end);
  }
  if (problem.products.pv.depends_on_depth()) return {entry, kv_head, first_row, rows, 0, shape.keys};
  const int64_t group = std::max<int64_t>(KeysOfAGroup(shape, problem.products.pv), 1);
  block.begin = std::min(block.begin, block.end) / group * group;
  return block;
}

// The rows of a block's heads as batch entries; as one matrix where they follow each other in the node's outputs.
MatMulShape Rows(const Problem& problem, const Block& block, int64_t row_size) {
  const AttentionShape& shape = problem.shape;
  const bool is_whole = block.rows == shape.rows;
  MatMulShape product;
  product.rows = is_whole ? shape.group() * block.rows : block.rows;
  product.a_row_stride = row_size;
  const int64_t head = block.kv_head * shape.group();
  product.first_row = (block.entry * shape.heads + head) * shape.rows + block.first_row;
  product.entry_rows = shape.rows;
  for (int64_t i = 0; i < (is_whole ? 1 : shape.group()); ++i) {
    product.a_offsets.push_back(i * block.rows * row_size);
    product.b_offsets.push_back(0);
  }
  return product;
}

std::unique_ptr<float[]> Room(int64_t count) {
  return std::unique_ptr<float[]>(new float[static_cast<size_t>(std::max<int64_t>(count, 1))]);
}

// q [heads of the block][rows][size].
void CopyQueries(const Problem& problem, const Block& block, float* to) {
  const AttentionShape& shape = problem.shape;
  for (int64_t i = 0; i < shape.group(); ++i) {
    for (int64_t row = 0; row < block.rows; ++row) {
      const float* from = problem.arguments.q.At(block.entry, block.kv_head * shape.group() + i, block.first_row + row);
      to = std::copy(from, from + shape.size, to);
    }
  }
}

void MultiplyKeys(const Problem& problem, const Block& block, const float* queries, float* scores) {
  const HeadRows<const float>& k = problem.arguments.k;
  MatMulShape product = Rows(problem, block, problem.shape.size);
  product.columns = block.keys();
  product.depth = problem.shape.size;
  product.b_column_stride = k.row_stride;
  product.b_depth_stride = 1;
  product.first_column = block.begin;
  MatMul(problem.products.qk, product, queries, k.At(block.entry, block.kv_head, block.begin), nullptr, scores,
         SerialParallel(), nullptr);
}

// Where a value at `stage` goes, what is not seen with it.
class StageWriter {
 public:
  StageWriter(const Problem& problem, int64_t entry, int64_t head, int64_t row)
      : stage_(problem.arguments.stage),
        keys_(problem.arguments.score_keys),
        hidden_(stage_ == ScoreStage::kProbabilities ? 0.0f : problem.arguments.hidden_score) {
    const AttentionShape& shape = problem.shape;
    if (stage_ == ScoreStage::kNone) return;
    to_ = problem.arguments.scores + ((entry * shape.heads + head) * shape.rows + row) * keys_;
  }

  void Write(ScoreStage stage, const float* scores, const KeyRange& seen) const {
    if (stage != stage_) return;
    std::fill(to_, to_ + seen.first, hidden_);
    std::copy(scores, scores + (seen.end - seen.first), to_ + seen.first);
    std::fill(to_ + seen.end, to_ + keys_, hidden_);
  }

 private:
  ScoreStage stage_;
  int64_t keys_;
  float hidden_;
  float* to_ = nullptr;
};

// `scores`: those of the keys that the row sees.
void WeighRow(const Problem& problem, int64_t entry, int64_t head, int64_t row, const KeyRange& seen, float* scores) {
  const AttentionArguments& arguments = problem.arguments;
  const ScoreBias& bias = arguments.bias;
  const int64_t count = seen.end - seen.first;
  const StageWriter writer(problem, entry, head, row);
  ScaleScores(scores, count, arguments.scale);
  writer.Write(ScoreStage::kScaled, scores, seen);
  if (arguments.softcap != 0) CapScores(scores, count, arguments.softcap);
  writer.Write(ScoreStage::kCapped, scores, seen);
  if (bias.data != nullptr) {
    const int64_t start = entry * bias.batch_stride + head * bias.head_stride + row * bias.row_stride;
    AddBias(scores, count, bias.data + start + seen.first * bias.key_stride, bias.key_stride);
  }
  writer.Write(ScoreStage::kBiased, scores, seen);
  const float sink = arguments.sinks == nullptr ? -std::numeric_limits<float>::infinity() : arguments.sinks[head];
  Softmax(scores, count, seen.first, sink);
  writer.Write(ScoreStage::kProbabilities, scores, seen);
}

KeyRange SeenIn(const Problem& problem, const Block& block, int64_t row) {
  KeyRange seen = problem.shape.SeenBy(block.entry, block.first_row + row);
  seen.end = std::max(seen.first, seen.end);
  return seen.first == seen.end ? KeyRange{block.begin, block.begin} : seen;
}

// Scores of a block [heads][rows][keys] become probabilities, 0 where a row sees no key.
void Weigh(const Problem& problem, const Block& block, float* scores) {
  const FpScope nearest(FpMode::kNearest);
  const int64_t group = problem.shape.group();
  for (int64_t i = 0; i < group * block.rows; ++i, scores += block.keys()) {
    const int64_t head = block.kv_head * group + i / block.rows, row = i % block.rows;
    const KeyRange seen = SeenIn(problem, block, row);
    float* first = scores + (seen.first - block.begin);
    std::fill(scores, first, 0.0f);
    WeighRow(problem, block.entry, head, block.first_row + row, seen, first);
    std::fill(scores + (seen.end - block.begin), scores + block.keys(), 0.0f);
  }
}

bool IsFinite(const float* values, int64_t count) {
  constexpr uint32_t kInfinite = 0x7f800000;
  uint32_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits;
    std::memcpy(&bits, values + i, sizeof bits);
    found |= (bits & kInfinite) == kInfinite ? 1u : 0u;
  }
  return found == 0;
}

bool HasFiniteValues(const Problem& problem, const Block& block) {
  for (int64_t key = block.begin; key < block.end; ++key) {
    if (!IsFinite(problem.arguments.v.At(block.entry, block.kv_head, key), problem.shape.value_size)) return false;
  }
  return true;
}

// One row at a time, with zeros in place of what it does not see: times a probability of zero, an infinity would be
// NaN.
void MultiplySeenValues(const Problem& problem, const Block& block, const float* probabilities, float* y) {
  const int64_t size = problem.shape.value_size;
  const std::unique_ptr<float[]> values = Room(block.keys() * size);
  MatMulShape product = Rows(problem, block, block.keys());
  const int64_t first_row = product.first_row;
  product.rows = 1;
  product.columns = product.b_depth_stride = size;
  product.depth = block.keys();
  product.a_offsets = product.b_offsets = {0};
  for (int64_t i = 0; i < problem.shape.group() * block.rows; ++i, probabilities += block.keys(), y += size) {
    const KeyRange seen = SeenIn(problem, block, i % block.rows);
    std::fill(values.get(), values.get() + block.keys() * size, 0.0f);
    for (int64_t key = seen.first; key < seen.end; ++key) {
      const float* from = problem.arguments.v.At(block.entry, block.kv_head, key);
      std::copy(from, from + size, values.get() + (key - block.begin) * size);
    }
    product.first_row = first_row + i / block.rows * problem.shape.rows + i % block.rows;
    MatMul(problem.products.pv, product, probabilities, values.get(), nullptr, y, SerialParallel(), nullptr);
  }
}

void MultiplyValues(const Problem& problem, const Block& block, const float* probabilities, float* y) {
  if (!HasFiniteValues(problem, block)) return MultiplySeenValues(problem, block, probabilities, y);
  const HeadRows<const float>& v = problem.arguments.v;
  MatMulShape product = Rows(problem, block, block.keys());
  product.columns = problem.shape.value_size;
  product.depth = block.keys();
  product.b_depth_stride = v.row_stride;
  MatMul(problem.products.pv, product, probabilities, v.At(block.entry, block.kv_head, block.begin), nullptr, y,
         SerialParallel(), nullptr);
}

void CopyResults(const Problem& problem, const Block& block, const float* from) {
  const AttentionShape& shape = problem.shape;
  for (int64_t i = 0; i < shape.group() * block.rows; ++i, from += shape.value_size) {
    const int64_t head = block.kv_head * shape.group() + i / block.rows;
    std::copy(from, from + shape.value_size,
              problem.arguments.y.At(block.entry, head, block.first_row + i % block.rows));
  }
}

void RunBlock(const Problem& problem, const Block& block) {
  const AttentionShape& shape = problem.shape;
  const int64_t rows = shape.group() * block.rows;
  const std::unique_ptr<float[]> vectors = Room(rows * std::max(shape.size, shape.value_size));
  const std::unique_ptr<float[]> scores = Room(rows * block.keys());
  CopyQueries(problem, block, vectors.get());
  MultiplyKeys(problem, block, vectors.get(), scores.get());
  Weigh(problem, block, scores.get());
  MultiplyValues(problem, block, scores.get(), vectors.get());
  CopyResults(problem, block, vectors.get());
}

void RunBlocks(const Problem& problem, const Parallel& parallel) {
  const AttentionShape& shape = problem.shape;
  const int64_t rows = RowsOfABlock(shape);
  const int64_t blocks = (shape.rows + rows - 1) / rows;
  // The last rows of a causal prompt see the most keys, and come first.
  RunTasks(
      parallel, shape.batch * shape.kv_heads * blocks,
      [&](int64_t task) {
        const int64_t first_row = (blocks - 1 - task / (shape.batch * shape.kv_heads)) * rows;
        const int64_t matrix = task % (shape.batch * shape.kv_heads);
        RunBlock(problem, MakeBlock(problem, matrix / shape.kv_heads, matrix % shape.kv_heads, first_row,
                                    std::min(rows, shape.rows - first_row)));
      },
      1.0);
}

// All heads and rows at once, each product in one call for its collector.
class WholeRun {
 public:
  WholeRun(const Problem& problem, const Parallel& parallel)
      : problem_(problem),
        parallel_(parallel),
        matrices_(problem.shape.batch * problem.shape.kv_heads),
        rows_(problem.shape.group() * problem.shape.rows) {}

  void Run() const {
    const AttentionShape& shape = problem_.shape;
    const AttentionProducts& products = problem_.products;
    const std::unique_ptr<float[]> queries = Room(matrices_ * rows_ * shape.size);
    const std::unique_ptr<float[]> scores = Room(matrices_ * rows_ * shape.keys);
    const std::unique_ptr<float[]> results = Room(matrices_ * rows_ * shape.value_size);
    ForEach(
        [&](int64_t i, const Block& block) { CopyQueries(problem_, block, queries.get() + i * rows_ * shape.size); });
    MatMulShape qk = Product(shape.size, shape.keys, problem_.arguments.k);
    std::swap(qk.b_depth_stride, qk.b_column_stride);
    Compute(products.qk, qk, queries.get(), problem_.arguments.k.data, scores.get(), products.qk_statistics,
            [&](int64_t i, const Block& block) {
              MultiplyKeys(problem_, block, queries.get() + i * rows_ * shape.size,
                           scores.get() + i * rows_ * shape.keys);
            });
    ForEach([&](int64_t i, const Block& block) { Weigh(problem_, block, scores.get() + i * rows_ * shape.keys); });
    const MatMulShape pv = Product(shape.keys, shape.value_size, problem_.arguments.v);
    Compute(products.pv, pv, scores.get(), problem_.arguments.v.data, results.get(), products.pv_statistics,
            [&](int64_t i, const Block& block) {
              MultiplyValues(problem_, block, scores.get() + i * rows_ * shape.keys,
                             results.get() + i * rows_ * shape.value_size);
            });
    ForEach([&](int64_t i, const Block& block) {
      CopyResults(problem_, block, results.get() + i * rows_ * shape.value_size);
    });
  }

 private:
  template <typename Task>
  void ForEach(const Task& task) const {
    const AttentionShape& shape = problem_.shape;
    RunTasks(parallel_, matrices_,
             [&](int64_t i) { task(i, Block{i / shape.kv_heads, i % shape.kv_heads, 0, shape.rows, 0, shape.keys}); });
  }

  template <typename Task>
  void Compute(const Accumulator& accumulator, const MatMulShape& product, const float* a, const float* b, float* y,
               StatisticsCollector* statistics, const Task& task) const {
    if (statistics == nullptr || !statistics->is_filled()) ForEach(task);
    RecordMatMul(accumulator, product, a, b, y, parallel_, statistics);
  }

  MatMulShape Product(int64_t depth, int64_t columns, const HeadRows<const float>& b) const {
    MatMulShape product;
    product.rows = rows_;
    product.depth = product.a_row_stride = depth;
    product.columns = columns;
    product.b_depth_stride = b.row_stride;
    for (int64_t i = 0; i < matrices_; ++i) {
      product.a_offsets.push_back(i * rows_ * depth);
      product.b_offsets.push_back(b.At(i / problem_.shape.kv_heads, i % problem_.shape.kv_heads, 0) - b.data);
    }
    return product;
  }

  const Problem& problem_;
  const Parallel& parallel_;
  const int64_t matrices_, rows_;
};

}  // namespace

void Attend(const AttentionProducts& products, const AttentionShape& shape, const AttentionArguments& arguments,
            const Parallel& parallel) {
  if (shape.batch == 0 || shape.heads == 0 || shape.rows == 0) return;
  const Problem problem{products, shape, arguments};
  if (products.qk_statistics != nullptr || products.pv_statistics != nullptr) return WholeRun(problem, parallel).Run();
  RunBlocks(problem, parallel);
}

}  // namespace lba
