#include "onnxruntime/shape_rules.h"

#include <algorithm>

namespace lba::ort {
namespace {

[[noreturn]] void Fail(const std::string& expected, const std::string& got) {
  throw std::invalid_argument("expected " + expected + ", got " + got);
}

bool Differ(const Dimension& first, const Dimension& second) {
  return first.is_known() && second.is_known() && first.value != second.value;
}

// The dimension that both are, when they cannot differ.
Dimension Either(const Dimension& first, const Dimension& second) { return first.is_known() ? first : second; }

Dimension Broadcast(const Dimension& first, const Dimension& second, const Shape& a, const Shape& b) {
  if (first.value == 1) return second;
  if (second.value == 1) return first;
  if (Differ(first, second)) Fail("batch dimensions that broadcast", "A " + ToString(a) + " and B " + ToString(b));
  if (first.is_known() || second.is_known()) return Either(first, second);
  return first.symbol == second.symbol ? first : Dimension{};
}

Shape BroadcastBatch(const Shape& a, const Shape& b) {
  const size_t a_rank = a.size() > 2 ? a.size() - 2 : 0;
  const size_t b_rank = b.size() > 2 ? b.size() - 2 : 0;
  const size_t rank = std::max(a_rank, b_rank);
  Shape batch;
  for (size_t i = 0; i < rank; ++i) {
    const Dimension one{1, ""};
    const Dimension& first = i + a_rank >= rank ? a[i + a_rank - rank] : one;
    const Dimension& second = i + b_rank >= rank ? b[i + b_rank - rank] : one;
    batch.push_back(Broadcast(first, second, a, b));
  }
  return batch;
}

// Gemm's C broadcasts to Y, never Y to C.
void CheckAddend(const Shape& c, const Shape& y) {
  bool fits = c.size() <= y.size();
  for (size_t i = 0; fits && i < c.size(); ++i) {
    const Dimension& dimension = c[c.size() - 1 - i];
    fits = dimension.value == 1 || !Differ(dimension, y[y.size() - 1 - i]);
  }
  if (!fits) Fail("C that broadcasts to " + ToString(y), "C " + ToString(c));
}

}  // namespace

Shape MatMulOutput(const Shape& a, const Shape& b) {
  if (a.empty() || b.empty()) return {};
  const Dimension& a_depth = a.back();
  const Dimension& b_depth = b.size() == 1 ? b[0] : b[b.size() - 2];
  if (Differ(a_depth, b_depth)) {
    Fail("the last dimension of A to be the depth of B", "A " + ToString(a) + " and B " + ToString(b));
  }
  Shape y = BroadcastBatch(a, b);
  if (a.size() > 1) y.push_back(a[a.size() - 2]);
  if (b.size() > 1) y.push_back(b.back());
  return y;
}

Shape GemmOutput(const Shape& a, const Shape& b, const Shape& c, const GemmAttributes& attributes) {
  if (!a.empty() && a.size() != 2) Fail("A of rank 2", "A " + ToString(a));
  if (!b.empty() && b.size() != 2) Fail("B of rank 2", "B " + ToString(b));
  Shape y(2);
  if (!a.empty()) y[0] = a[attributes.transposes_a ? 1 : 0];
  if (!b.empty()) y[1] = b[attributes.transposes_b ? 0 : 1];
  if (!a.empty() && !b.empty() && Differ(a[attributes.transposes_a ? 0 : 1], b[attributes.transposes_b ? 1 : 0])) {
    Fail("A and B of one depth", "A " + ToString(a) + " and B " + ToString(b) +
                                     " with transA=" + std::to_string(attributes.transposes_a) +
                                     " and transB=" + std::to_string(attributes.transposes_b));
  }
  CheckAddend(c, y);
  return y;
}

Shape NBitsOutput(const Shape& a, const NBitsAttributes& attributes) {
  if (a.empty()) return {};
  if (Differ(a.back(), {attributes.depth, ""})) {
    Fail("the last dimension of A to be K, " + std::to_string(attributes.depth), "A " + ToString(a));
  }
  Shape y(a.begin(), a.end() - 1);
  y.push_back({attributes.columns, ""});
  return y;
}

Shape KnownShape(const std::vector<int64_t>& dimensions) {
  Shape shape;
  for (int64_t value : dimensions) shape.push_back({value, ""});
  return shape;
}

std::vector<int64_t> KnownDimensions(const Shape& shape) {
  std::vector<int64_t> dimensions;
  for (const Dimension& dimension : shape) dimensions.push_back(dimension.value);
  return dimensions;
}

std::string ToString(const Shape& shape) {
  std::string text = "[";
  for (const Dimension& dimension : shape) {
    if (text.size() > 1) text += ", ";
    text += dimension.is_known() ? std::to_string(dimension.value) : dimension.symbol.empty() ? "?" : dimension.symbol;
  }
  return text + "]";
}

}  // namespace lba::ort
