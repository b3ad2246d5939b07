// Every path gives the bits of the path "exact" for integer products: with each epilogue, with weights packed before or
// in the call, and for any number of threads; an observer may write the sums.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "lba/integer_product.h"
#include "tests/check.h"
#include "tests/paths.h"

namespace lba {
namespace {

const char* const kTexts[] = {"int32-wrap",
                              "int13-wrap",
                              "int12-wrap,operands=raw",
                              "int11-saturate",
                              "int19-saturate",
                              "int40-saturate",
                              "int10x8/int15-saturate",
                              "x86-u8s8",
                              "int16x4-wrap/int18-saturate",
                              "arm-smlal16",
                              "fixed<9,14>,overflow=saturate"};

template <class T>
std::vector<T> Draw(int64_t count, std::mt19937* random, int least, int most) {
  std::vector<T> values(count);
  for (T& value : values) value = static_cast<T>(std::uniform_int_distribution<int>(least, most)(*random));
  return values;
}

// Operands of many zero points, and all that an epilogue reads.
struct Operands {
  std::vector<uint8_t> x, w;
  int32_t x_zero_point;
  std::vector<int32_t> w_zero_points, bias;
  std::vector<float> scales, float_bias;
  Codes x_codes, w_codes;

  Operands(int64_t x_size, int64_t w_size, int64_t channels, CodeType x_type, CodeType w_type, uint32_t seed) {
    std::mt19937 random(seed);
    x = Draw<uint8_t>(x_size, &random, 0, 255);
    w = Draw<uint8_t>(w_size, &random, 0, 255);
    const int w_least = w_type == CodeType::kUint8 ? 0 : -128;
    x_zero_point = x_type == CodeType::kUint8 ? 113 : -7;
    w_zero_points = Draw<int32_t>(channels, &random, w_least, w_least + 255);
    bias = Draw<int32_t>(channels, &random, -100000, 100000);
    for (int64_t i = 0; i < channels; ++i) {
      scales.push_back(0.001f * static_cast<float>(1 + random() % 100));
      float_bias.push_back(static_cast<float>(random() % 100));
    }
    x_codes = {x.data(), x_type, &x_zero_point, false};
    w_codes = {w.data(), w_type, seed % 2 == 0 ? w_zero_points.data() : nullptr, seed % 2 == 0};
  }

  IntegerEpilogue Of(IntegerOutput output, bool has_bias) const {
    IntegerEpilogue epilogue;
    epilogue.output = output;
    epilogue.bias = has_bias ? bias.data() : nullptr;
    if (output == IntegerOutput::kInt32 || output == IntegerOutput::kInt64) return epilogue;
    epilogue.scales = scales.data();
    epilogue.has_many_scales = has_bias;
    epilogue.float_bias = output == IntegerOutput::kFloat32 && has_bias ? float_bias.data() : nullptr;
    epilogue.zero_point = output == IntegerOutput::kUint8 ? 131 : output == IntegerOutput::kInt8 ? -5 : 0;
    return epilogue;
  }
};

const IntegerOutput kOutputs[] = {IntegerOutput::kInt32, IntegerOutput::kInt64, IntegerOutput::kFloat32,
                                  IntegerOutput::kUint8, IntegerOutput::kInt8};

// `run(epilogue, packs, threads, y)` computes `count` results; those of all paths are the same.
template <class Run>
void CheckPaths(const Operands& operands, int64_t count, const std::string& name, const Run& run) {
  for (const IntegerOutput output : kOutputs) {
    for (const bool has_bias : {false, true}) {
      const IntegerEpilogue epilogue = operands.Of(output, has_bias);
      std::vector<uint8_t> expected(count * 8, 0xa5);
      setenv("LBA_ONNX_CPU_PATH", "exact", 1);
      run(epilogue, false, 1, expected.data());
      ForEachPath([&](CpuPath path) {
        for (const bool packs : {false, true}) {
          std::vector<uint8_t> found(count * 8, 0xa5);
          run(epilogue, packs, packs ? 3 : 1, found.data());
          CHECK(found == expected, "%s on %s, output %d", name.c_str(), CpuPathName(path), static_cast<int>(output));
        }
      });
    }
  }
}

void CheckMatMul(const char* text, int64_t rows, int64_t depth, int64_t columns, CodeType a, CodeType b) {
  const SharedAccumulator accumulator = ParseAccumulator(text);
  MatMulShape shape;
  shape.rows = rows;
  shape.columns = columns;
  shape.depth = depth;
  shape.a_offsets = {0, rows * depth};
  shape.b_offsets = {0, 0};
  shape.a_row_stride = depth;
  shape.b_depth_stride = columns;
  const Operands operands(2 * rows * depth, depth * columns, columns, a, b, static_cast<uint32_t>(rows));
  const auto run = [&](const IntegerEpilogue& epilogue, bool packs, int threads, void* y) {
    const ThreadParallel parallel(threads);
    const auto packed = packs ? PackIntegerMatrices(*accumulator, shape, operands.w_codes, parallel) : nullptr;
    IntegerMatMul(*accumulator, shape, operands.x_codes, operands.w_codes, packed.get(), epilogue, y, parallel,
                  nullptr);
  };
  CheckPaths(operands, 2 * rows * columns, std::string(text) + " matmul", run);
}

void CheckConv(const char* text, ConvShape shape, CodeType x, CodeType w) {
  CHECK(CompleteConvShape(&shape).empty(), "shape");
  const SharedAccumulator accumulator = ParseAccumulator(text);
  const Operands operands(shape.batch * shape.in_channels * shape.input_size(), shape.out_channels * shape.depth(),
                          shape.out_channels, x, w, static_cast<uint32_t>(shape.groups));
  const auto run = [&](const IntegerEpilogue& epilogue, bool packs, int threads, void* y) {
    const ThreadParallel parallel(threads);
    const auto packed = packs ? PackIntegerFilter(*accumulator, shape, operands.w_codes, parallel) : nullptr;
    IntegerConv(*accumulator, shape, operands.x_codes, operands.w_codes, packed.get(), epilogue, y, parallel, nullptr);
  };
  CheckPaths(operands, shape.batch * shape.out_channels * shape.output_size(), std::string(text) + " conv", run);
}

ConvShape ShapeOf(int64_t channels, int64_t filters, int64_t groups, int64_t kernel, int64_t stride, int64_t pad) {
  ConvShape shape;
  shape.batch = 2;
  shape.in_channels = channels;
  shape.out_channels = filters;
  shape.groups = groups;
  shape.input = {1, 9, 11};
  shape.kernel = {1, kernel, kernel};
  shape.strides = {1, stride, stride};
  shape.pads_begin = shape.pads_end = {0, pad, pad};
  return shape;
}

// Without an epilogue's bias the observer's sums are what the node goes on with.
void CheckObserver() {
  const SharedAccumulator accumulator = ParseAccumulator("int12-saturate");
  MatMulShape shape;
  shape.rows = 3;
  shape.columns = 5;
  shape.depth = 20;
  shape.a_offsets = shape.b_offsets = {0};
  shape.a_row_stride = 20;
  shape.b_depth_stride = 5;
  const Operands operands(60, 100, 5, CodeType::kUint8, CodeType::kInt8, 2);
  const auto observe = [](const LbaObservation* seen, void* calls) -> int32_t {
    const LbaMatMulArgs& args = *seen->matmul;
    CHECK(args.a_type == LBA_UINT8 && args.b_type == LBA_INT8 && args.y_type == LBA_INT32, "types");
    CHECK(args.a_zero_point == 113 && args.b_zero_point_stride == 1, "zero points");
    ++*static_cast<int*>(calls);
    for (int i = 0; i < 15; ++i) static_cast<int32_t*>(args.y)[i] = i;
    return 0;
  };
  int calls = 0;
  CHECK(lba_observer_open("seen", observe, &calls, 0) == LBA_OK, "%s", lba_last_error());
  int64_t y[15];
  IntegerMatMul(*accumulator, shape, operands.x_codes, operands.w_codes, nullptr,
                operands.Of(IntegerOutput::kInt64, false), y, SerialParallel(), FindStatistics("seen/node").get());
  for (int i = 0; i < 15; ++i) CHECK(calls == 1 && y[i] == i, "%d", i);
  CHECK(lba_statistics_close("seen") == LBA_OK, "%s", lba_last_error());
}

void Run() {
  const CodeType types[] = {CodeType::kUint8, CodeType::kInt8};
  for (const char* text : kTexts) {
    for (const CodeType x : types) {
      for (const CodeType w : types) {
        CheckMatMul(text, 1, 3, 7, x, w);
        CheckMatMul(text, 6, 37, 70, x, w);
        CheckConv(text, ShapeOf(5, 7, 1, 1, 1, 0), x, w);
        CheckConv(text, ShapeOf(4, 6, 2, 3, 2, 1), x, w);
        CheckConv(text, ShapeOf(3, 3, 3, 3, 1, 1), x, w);
        CheckConv(text, ShapeOf(5, 5, 5, 5, 2, 2), x, w);
      }
    }
  }
  CheckObserver();
}

}  // namespace
}  // namespace lba

int main() { lba::Run(); }
