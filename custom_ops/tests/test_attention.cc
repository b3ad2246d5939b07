// Attention: its softmax by values that are known, and its blocks against all rows at once.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include "kernels/cpu/softmax.h"
#include "lba/attention.h"

namespace lba {
namespace {

void Expect(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "expected %s\n", what);
  std::exit(1);
}

void TestSoftmax() {
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> equal(5, -3.0f);
  Softmax(equal.data(), 5, 14, -infinity);
  for (const float value : equal) Expect(value == 0.2f, "equal probabilities of equal scores");
  std::vector<float> beside_sink{0.0f};
  Softmax(beside_sink.data(), 1, 0, 0.0f);
  Expect(beside_sink[0] == 0.5f, "half of it at the sink");
  std::vector<float> hidden(3, -infinity);
  Softmax(hidden.data(), 3, 0, -infinity);
  for (const float value : hidden) Expect(value == 0, "zeros where nothing is seen");
  std::vector<float> broken{0.0f, std::nanf(""), -infinity};
  Softmax(broken.data(), 3, 0, -infinity);
  for (const float value : broken) Expect(value != value, "NaN beside NaN");
  std::vector<float> sharp{0.0f, -infinity, -150.0f};
  Softmax(sharp.data(), 3, 0, -infinity);
  Expect(sharp[0] == 1 && sharp[1] == 0 && sharp[2] == 0, "one key alone");
}

void TestScores() {
  float scores[] = {1e-4f, -1e4f, 0.0f};
  CapScores(scores, 3, 2.0f);
  Expect(scores[0] == 1e-4f && scores[1] == -2 && scores[2] == 0, "a cap that bounds, and keeps small scores");
  const float bias[] = {1, 9, 2};
  ScaleScores(scores, 2, 0.5f);
  AddBias(scores, 2, bias, 2);
  Expect(scores[1] == 1, "a scaled score and its bias");
}

std::vector<float> Values(size_t count, uint32_t seed) {
  std::vector<float> values(count);
  for (float& value : values) {
    seed = seed * 1664525u + 1013904223u;
    value = static_cast<float>(seed >> 8) * 0x1p-23f - 1;
  }
  return values;
}

// Rows of one head at once, and each alone, as a cache is attended to.
void TestRowsAlone(const char* text) {
  constexpr int64_t kRows = 90, kSize = 8, kHeads = 2;
  const SharedAccumulator accumulator = ParseAccumulator(text);
  const std::vector<float> q = Values(kHeads * kRows * kSize, 1), k = Values(kRows * kSize, 2);
  const std::vector<float> v = Values(kRows * kSize, 3);
  std::vector<float> all(q.size()), alone(q.size());
  AttentionShape shape{1, kHeads, 1, kRows, kRows, kSize, kSize, {}};
  for (int64_t row = 0; row < kRows; ++row) shape.seen.push_back({row > 50 ? row - 50 : 0, row + 1});
  AttentionArguments arguments;
  arguments.q = {q.data(), 0, kRows * kSize, kSize};
  arguments.k = arguments.v = {k.data(), 0, 0, kSize};
  arguments.v.data = v.data();
  arguments.scale = 0.5f;
  arguments.y = {all.data(), 0, kRows * kSize, kSize};
  const AttentionProducts products{*accumulator, *accumulator};
  Attend(products, shape, arguments, ThreadParallel(3));
  for (int64_t row = 0; row < kRows; ++row) {
    AttentionShape one{1, kHeads, 1, 1, row + 1, kSize, kSize, {shape.seen[static_cast<size_t>(row)]}};
    arguments.q.data = q.data() + row * kSize;
    arguments.y.data = alone.data() + row * kSize;
    Attend(products, one, arguments, SerialParallel());
  }
  Expect(all == alone, text);
}

}  // namespace
}  // namespace lba

int main() {
  lba::TestSoftmax();
  lba::TestScores();
  for (const char* text : {"M7E4b10", "M7E4b10,chunk=none", "M3E4b8,round=nearest,chunk=4", "kulisch", "fp16-fma"}) {
    lba::TestRowsAlone(text);
  }
}
