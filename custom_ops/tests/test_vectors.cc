// The golden vectors of tests/vectors (see its README.md for the files) through every CPU path.
#include <cmath>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "arithmetic/chunked_float/definition.h"
#include "lba/conv.h"
#include "lba/matmul.h"
#include "tests/accumulators.h"
#include "tests/check.h"
#include "tests/paths.h"

namespace lba {
namespace {

// What a folder of files says of their cases: how values round, or that a spec is one text that says it all.
struct Folder {
  const char* name;
  Rounding rounding;
  bool has_texts;
  bool has_starts;
};

class Tokens {
 public:
  Tokens(const std::string& line, const Folder& folder) : line_(line), folder_(folder), stream_(line) {}

  std::string Text() {
    std::string token;
    CHECK(stream_ >> token, "too few tokens in: %s", line_.c_str());
    return token;
  }
  int64_t Integer() { return std::stoll(Text()); }
  FloatFormat Format() {
    FloatFormat format;
    const std::string reason = ParseFormat(Text(), &format);
    CHECK(reason.empty(), "%s", reason.c_str());
    return format;
  }
  SharedAccumulator Spec() {
    if (folder_.has_texts) return ParseAccumulator(Text());
    AccumulatorSpec spec;
    spec.product_format = Format();
    spec.accumulator_format = Format();
    spec.chunk_size = Integer();
    spec.underflow = Integer() != 0;
    spec.rounding = folder_.rounding;
    return Made(spec);
  }
  double Float64() { return FromBits(std::stoull(Text(), nullptr, 16)); }
  float Float32() {
    const uint32_t bits = static_cast<uint32_t>(std::stoul(Text(), nullptr, 16));
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  std::vector<float> Floats(int64_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = Float32();
    return values;
  }
  const std::string& line() const { return line_; }
  const Folder& folder() const { return folder_; }

 private:
  std::string line_;
  const Folder& folder_;
  std::istringstream stream_;
};

// Equal bits, but that any NaN is NaN.
bool IsSame(float a, float b) {
  return (a == b && std::signbit(a) == std::signbit(b)) || (std::isnan(a) && std::isnan(b));
}

void CheckSame(const std::vector<float>& actual, const std::vector<float>& expected, CpuPath path,
               const Tokens& tokens) {
  for (size_t i = 0; i < expected.size(); ++i) {
    CHECK(IsSame(actual[i], expected[i]), "%s: output %zu: expected %a, got %a in: %.300s", CpuPathName(path), i,
          static_cast<double>(expected[i]), static_cast<double>(actual[i]), tokens.line().c_str());
  }
}

template <class Case>
int ForEachLine(const std::string& name, const Folder& folder, const Case& run) {
  std::ifstream file(std::string(LBA_VECTORS_DIR) + folder.name + name);
  CHECK(file.is_open(), "%s does not open", name.c_str());
  int cases = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    Tokens tokens(line, folder);
    run(tokens);
    ++cases;
  }
  CHECK(cases > 0, "%s holds no case", name.c_str());
  return cases;
}

void QuantizeCase(Tokens& tokens) {
  const FloatFormat format = tokens.Format();
  const bool underflow = tokens.Integer() != 0;
  const double x = tokens.Float64();
  const float expected = tokens.Float32();
  const float actual =
      static_cast<float>(Quantize(x, QuantizeConstants::Of(format, underflow, tokens.folder().rounding)));
  CHECK(IsSame(actual, expected), "expected %a, got %a in: %s", static_cast<double>(expected),
        static_cast<double>(actual), tokens.line().c_str());
}

void MatMulCase(Tokens& tokens, const Accumulator& accumulator, int64_t rows, int64_t depth, int64_t columns,
                CpuPath path, bool has_starts = false) {
  const std::vector<float> a = tokens.Floats(rows * depth), b = tokens.Floats(depth * columns);
  const std::vector<float> initial = has_starts ? tokens.Floats(rows * columns) : std::vector<float>();
  const std::vector<float> expected = tokens.Floats(rows * columns);
  MatMulShape shape;
  shape.rows = rows;
  shape.columns = columns;
  shape.depth = depth;
  shape.a_offsets = shape.b_offsets = {0};
  shape.a_row_stride = depth;
  shape.b_depth_stride = columns;
  std::vector<float> y(rows * columns, 77.0f);
  const Starts starts{has_starts ? initial.data() : nullptr, {0, columns, 1}};
  MatMul(accumulator, shape, a.data(), b.data(), nullptr, y.data(), ThreadParallel(2), nullptr, starts);
  CheckSame(y, expected, path, tokens);
}

void ConvCase(Tokens& tokens, CpuPath path) {
  const SharedAccumulator accumulator = tokens.Spec();
  const int axes = static_cast<int>(tokens.Integer());
  ConvShape shape;
  auto read = [&](std::array<int64_t, 3>* values) {
    for (int i = 0; i < axes; ++i) (*values)[3 - axes + i] = tokens.Integer();
  };
  shape.batch = tokens.Integer();
  shape.in_channels = tokens.Integer();
  read(&shape.input);
  shape.out_channels = tokens.Integer();
  tokens.Integer();  // channels per group follow from the rest
  read(&shape.kernel);
  read(&shape.strides);
  read(&shape.pads_begin);
  read(&shape.pads_end);
  read(&shape.dilations);
  shape.groups = tokens.Integer();
  for (int i = 0; i < 2 + axes; ++i) tokens.Integer();  // so does the shape of the output
  const std::string reason = CompleteConvShape(&shape);
  CHECK(reason.empty(), "%s in: %.300s", reason.c_str(), tokens.line().c_str());
  const std::vector<float> x = tokens.Floats(shape.batch * shape.in_channels * shape.input_size());
  const std::vector<float> w = tokens.Floats(shape.out_channels * shape.depth());
  const std::vector<float> expected = tokens.Floats(shape.batch * shape.out_channels * shape.output_size());
  std::vector<float> y(expected.size(), 77.0f);
  Conv(*accumulator, shape, x.data(), w.data(), nullptr, nullptr, y.data(), ThreadParallel(2), nullptr);
  CheckSame(y, expected, path, tokens);
  const auto packed = PackFilter(*accumulator, shape, w.data());
  Conv(*accumulator, shape, x.data(), w.data(), packed.get(), nullptr, y.data(), SerialParallel(), nullptr);
  CheckSame(y, expected, path, tokens);
}

void CheckFiles(const Folder& folder) {
  if (!folder.has_texts) std::printf("quantize: %d cases\n", ForEachLine("quantize.txt", folder, QuantizeCase));
  ForEachPath([&folder](CpuPath path) {
    const int dots = ForEachLine("dot.txt", folder, [&](Tokens& tokens) {
      const SharedAccumulator accumulator = tokens.Spec();
      const int64_t depth = tokens.Integer();
      MatMulCase(tokens, *accumulator, 1, depth, 1, path);
    });
    const int products = ForEachLine("matmul.txt", folder, [&](Tokens& tokens) {
      const SharedAccumulator accumulator = tokens.Spec();
      const int64_t rows = tokens.Integer(), depth = tokens.Integer(), columns = tokens.Integer();
      MatMulCase(tokens, *accumulator, rows, depth, columns, path);
    });
    if (folder.has_starts) {
      const int started = ForEachLine("starts.txt", folder, [&](Tokens& tokens) {
        const SharedAccumulator accumulator = tokens.Spec();
        const int64_t rows = tokens.Integer(), depth = tokens.Integer(), columns = tokens.Integer();
        MatMulCase(tokens, *accumulator, rows, depth, columns, path, true);
      });
      std::printf("%s: %d matrix products that start from values\n", CpuPathName(path), started);
    }
    const int convolutions = ForEachLine("conv.txt", folder, [&](Tokens& tokens) { ConvCase(tokens, path); });
    std::printf("%s: %d dot products, %d matrix products, %d convolutions\n", CpuPathName(path), dots, products,
                convolutions);
  });
}

}  // namespace
}  // namespace lba

int main() {
  lba::CheckFiles({"/", lba::Rounding::kTruncate, false, false});
  lba::CheckFiles({"/nearest/", lba::Rounding::kNearest, false, false});
  lba::CheckFiles({"/rules/", {}, true, true});
  lba::CheckFiles({"/sums/", {}, true, true});
}
