// The golden vectors of integer codes (tests/vectors/codes), and what onnxruntime gave (tests/vectors/onnxruntime),
// through every CPU path.
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "lba/integer_product.h"
#include "tests/check.h"
#include "tests/paths.h"

namespace lba {
namespace {

class Tokens {
 public:
  explicit Tokens(const std::string& line) : line_(line), stream_(line) {}

  std::string Text() {
    std::string token;
    CHECK(stream_ >> token, "too few tokens in: %.300s", line_.c_str());
    return token;
  }
  int64_t Integer() { return std::stoll(Text()); }
  CodeType Type() { return Text() == "int8" ? CodeType::kInt8 : CodeType::kUint8; }
  template <class T>
  std::vector<T> Integers(int64_t count) {
    std::vector<T> values(count);
    for (T& value : values) value = static_cast<T>(Integer());
    return values;
  }
  const std::string& line() const { return line_; }

 private:
  std::string line_;
  std::istringstream stream_;
};

// Codes with what they point to; bytes are the same for both types.
struct Operand {
  CodeType type = CodeType::kUint8;
  std::vector<int32_t> zero_points;
  std::vector<uint8_t> data;

  Codes codes() const { return {data.data(), type, zero_points.data(), zero_points.size() > 1}; }
};

// What becomes of sums: nothing, or codes that the tokens before a case tell of.
struct Requantization {
  IntegerEpilogue epilogue;
  float scale = 1;

  // <shift> <zero point> <type>
  void Read(Tokens* tokens) {
    scale = 1.0f / static_cast<float>(int64_t{1} << tokens->Integer());
    epilogue.zero_point = static_cast<int32_t>(tokens->Integer());
    epilogue.output = tokens->Type() == CodeType::kInt8 ? IntegerOutput::kInt8 : IntegerOutput::kUint8;
    epilogue.scales = &scale;
  }
};

template <class T>
std::vector<int64_t> Widened(const void* values, size_t count) {
  const T* typed = static_cast<const T*>(values);
  return std::vector<int64_t>(typed, typed + count);
}

// Results of whatever type, from memory for as many int64 values.
std::vector<int64_t> ResultsOf(const void* y, size_t count, IntegerOutput output) {
  switch (output) {
    case IntegerOutput::kInt64:
      return Widened<int64_t>(y, count);
    case IntegerOutput::kUint8:
      return Widened<uint8_t>(y, count);
    case IntegerOutput::kInt8:
      return Widened<int8_t>(y, count);
    default:
      return Widened<int32_t>(y, count);
  }
}

// Computes twice, by `run(epilogue, y, is_packed)`.
template <class Run>
void CheckResults(Tokens* tokens, const Accumulator& accumulator, Requantization* what, size_t count, CpuPath path,
                  const Run& run) {
  const std::vector<int64_t> expected = tokens->Integers<int64_t>(static_cast<int64_t>(count));
  if (what->epilogue.scales == nullptr && HasInt64Sums(accumulator)) what->epilogue.output = IntegerOutput::kInt64;
  for (const bool is_packed : {false, true}) {
    std::vector<int64_t> y(count + 1, 77);
    run(what->epilogue, y.data(), is_packed);
    const std::vector<int64_t> found = ResultsOf(y.data(), count, what->epilogue.output);
    for (size_t i = 0; i < count; ++i) {
      CHECK(found[i] == expected[i], "%s: output %zu: expected %lld, got %lld in: %.300s", CpuPathName(path), i,
            static_cast<long long>(expected[i]), static_cast<long long>(found[i]), tokens->line().c_str());
    }
  }
}

void MatMulCase(Tokens* tokens, CpuPath path) {
  const SharedAccumulator accumulator = ParseAccumulator(tokens->Text());
  Operand a, b;
  a.type = tokens->Type();
  b.type = tokens->Type();
  MatMulShape shape;
  shape.rows = tokens->Integer();
  shape.depth = shape.a_row_stride = tokens->Integer();
  shape.columns = shape.b_depth_stride = tokens->Integer();
  shape.a_offsets = shape.b_offsets = {0};
  a.zero_points = tokens->Integers<int32_t>(1);
  b.zero_points = tokens->Integers<int32_t>(tokens->Integer());
  a.data = tokens->Integers<uint8_t>(shape.rows * shape.depth);
  b.data = tokens->Integers<uint8_t>(shape.depth * shape.columns);
  Requantization none;
  CheckResults(tokens, *accumulator, &none, shape.rows * shape.columns, path,
               [&](const IntegerEpilogue& epilogue, void* y, bool is_packed) {
                 const auto packed = PackIntegerMatrices(*accumulator, shape, b.codes(), SerialParallel());
                 IntegerMatMul(*accumulator, shape, a.codes(), b.codes(), is_packed ? packed.get() : nullptr, epilogue,
                               y, ThreadParallel(2), nullptr);
               });
}

ConvShape ReadShape(Tokens* tokens) {
  const int axes = static_cast<int>(tokens->Integer());
  ConvShape shape;
  const auto read = [&](std::array<int64_t, 3>* values) {
    for (int i = 0; i < axes; ++i) (*values)[3 - axes + i] = tokens->Integer();
  };
  shape.batch = tokens->Integer();
  shape.in_channels = tokens->Integer();
  read(&shape.input);
  shape.out_channels = tokens->Integer();
  tokens->Integer();  // channels per group follow from the rest
  read(&shape.kernel);
  read(&shape.strides);
  read(&shape.pads_begin);
  read(&shape.pads_end);
  read(&shape.dilations);
  shape.groups = tokens->Integer();
  for (int i = 0; i < 2 + axes; ++i) tokens->Integer();  // so does the shape of the output
  const std::string reason = CompleteConvShape(&shape);
  CHECK(reason.empty(), "%s in: %.300s", reason.c_str(), tokens->line().c_str());
  return shape;
}

void ConvCase(Tokens* tokens, CpuPath path, bool gives_codes) {
  Requantization what;
  if (gives_codes) what.Read(tokens);
  const SharedAccumulator accumulator = ParseAccumulator(tokens->Text());
  Operand x, w;
  x.type = tokens->Type();
  w.type = tokens->Type();
  const ConvShape shape = ReadShape(tokens);
  x.zero_points = tokens->Integers<int32_t>(1);
  w.zero_points = tokens->Integers<int32_t>(tokens->Integer());
  x.data = tokens->Integers<uint8_t>(shape.batch * shape.in_channels * shape.input_size());
  w.data = tokens->Integers<uint8_t>(shape.out_channels * shape.depth());
  CheckResults(tokens, *accumulator, &what, shape.batch * shape.out_channels * shape.output_size(), path,
               [&](const IntegerEpilogue& epilogue, void* y, bool is_packed) {
                 const auto packed = PackIntegerFilter(*accumulator, shape, w.codes(), SerialParallel());
                 IntegerConv(*accumulator, shape, x.codes(), w.codes(), is_packed ? packed.get() : nullptr, epilogue, y,
                             ThreadParallel(2), nullptr);
               });
}

template <class Case>
void ForEachLine(const std::string& name, CpuPath path, const Case& run) {
  std::ifstream file(std::string(LBA_VECTORS_DIR) + name);
  CHECK(file.is_open(), "%s does not open", name.c_str());
  int cases = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    Tokens tokens(line);
    run(&tokens);
    ++cases;
  }
  CHECK(cases > 0, "%s holds no case", name.c_str());
  std::printf("%s: %d cases of %s\n", CpuPathName(path), cases, name.c_str());
}

}  // namespace
}  // namespace lba

int main() {
  lba::ForEachPath([](lba::CpuPath path) {
    const auto matmul = [path](lba::Tokens* tokens) { lba::MatMulCase(tokens, path); };
    lba::ForEachLine("/codes/matmul.txt", path, matmul);
    lba::ForEachLine("/onnxruntime/MatMulInteger.txt", path, matmul);
    lba::ForEachLine("/codes/conv.txt", path, [path](lba::Tokens* tokens) { lba::ConvCase(tokens, path, false); });
    lba::ForEachLine("/onnxruntime/QLinearConv.txt", path,
                     [path](lba::Tokens* tokens) { lba::ConvCase(tokens, path, true); });
  });
}
