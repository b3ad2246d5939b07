// Random products for the tests of the CUDA library, run by the emulation, against the CPU library.
#ifndef LBA_TESTS_CUDA_CASES_H_
#define LBA_TESTS_CUDA_CASES_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "lba/c_api.h"
#include "lba/cuda_api.h"
#include "onnxruntime/float16.h"
#include "tests/accumulators.h"
#include "tests/check.h"

namespace lba {

using Random = std::mt19937;

inline int64_t Draw(Random& random, int64_t low, int64_t high) {
  return low + static_cast<int64_t>(random() % static_cast<uint64_t>(high - low + 1));
}

inline bool OneIn(Random& random, int64_t times) { return Draw(random, 1, times) == 1; }

template <class T>
T OneOf(Random& random, std::initializer_list<T> choices) {
  return choices.begin()[Draw(random, 0, static_cast<int64_t>(choices.size()) - 1)];
}

inline FloatFormat DrawFormat(Random& random) {
  const int32_t exponent_bits = static_cast<int32_t>(Draw(random, 1, 7));
  const int32_t bias = static_cast<int32_t>(Draw(random, (1 << exponent_bits) - 128, 126));
  return {static_cast<int32_t>(Draw(random, 0, 22)), exponent_bits, bias};
}

// Chains of chains, at times as deep as they may be.
inline void DrawLevels(Random& random, AccumulatorSpec* spec) {
  if (spec->chunk_size == 0 || spec->chunk_size > 40) spec->chunk_size = Draw(random, 1, 9);
  const int64_t count = OneIn(random, 6) ? SumOrder::kMostLevels - 1 : Draw(random, 1, 3);
  for (int64_t i = 0; i < count; ++i) spec->outer_chunks.push_back(Draw(random, 1, 5));
}

inline void DrawTree(Random& random, AccumulatorSpec* spec) {
  spec->tree = OneOf<int64_t>(random, {1, 2, 3, 5, 8, 16, 16, 33, 200});
  if (spec->outer_chunks.size() == SumOrder::kMostLevels - 1) spec->outer_chunks.pop_back();
}

// A format with codes of IEEE 754 has at least two exponent bits.
inline void SetCodes(bool has_infinity, bool has_subnormals, FloatFormat* format) {
  format->has_infinity = has_infinity;
  format->has_subnormals = has_subnormals;
  if (has_infinity || has_subnormals) format->exponent_bits = std::max(format->exponent_bits, 2);
  format->exponent_bias = std::max(format->exponent_bias, (1 << format->exponent_bits) - 128);
}

// Any of the rules that only the definition knows.
inline void DrawRules(Random& random, AccumulatorSpec* spec) {
  if (OneIn(random, 2)) DrawTree(random, spec);
  spec->rounding = static_cast<Rounding>(Draw(random, 0, 4));
  if (spec->rounding == Rounding::kStochastic) {
    spec->random_bits = static_cast<int>(Draw(random, 1, 16));
    spec->seed = OneIn(random, 3) ? 0 : (uint64_t{random()} << 32 | random());
  }
  spec->exact_products = OneIn(random, 2);
  const bool has_infinity = OneIn(random, 2), has_subnormals = OneIn(random, 2);
  SetCodes(has_infinity, has_subnormals, &spec->product_format);
  SetCodes(has_infinity, has_subnormals, &spec->accumulator_format);
  if (has_subnormals) spec->underflow = true;
}

// Formats around those of real accumulators, the widest, the narrowest, and any at all.
inline AccumulatorSpec DrawPlainSpec(Random& random) {
  AccumulatorSpec spec{};
  spec.chunk_size = OneOf<int64_t>(random, {0, 1, 2, 3, 5, 7, 8, 16, 16, 16, 17, 31, 32, 33, 100, 150});
  spec.underflow = Draw(random, 0, 2) != 0;
  spec.rounding = Draw(random, 0, 2) == 0 ? Rounding::kNearest : Rounding::kTruncate;
  const int64_t family = Draw(random, 0, 9);
  if (family == 0) {
    spec.product_format = spec.accumulator_format = {22, 7, 63};
  } else if (family == 1) {
    spec.product_format = spec.accumulator_format = {static_cast<int32_t>(Draw(random, 0, 2)), 2, 2};
  } else if (family == 2) {
    spec.product_format = DrawFormat(random);
    spec.accumulator_format = DrawFormat(random);
  } else {
    const int32_t mantissa = OneOf<int32_t>(random, {4, 7, 7, 10, 12}), exponent = OneOf<int32_t>(random, {4, 4, 5, 6});
    const int32_t bias = (1 << (exponent - 1)) + static_cast<int32_t>(Draw(random, -3, 5));
    spec.accumulator_format = {mantissa, exponent, bias};
    spec.product_format = {mantissa, exponent, bias + static_cast<int32_t>(Draw(random, -1, 3))};
  }
  return spec;
}

inline AccumulatorSpec DrawNamedSpec(Random& random) {
  return ParseSpec(OneOf<const char*>(random, {"fp32-fma", "fp16-fma", "bf16-fma", "fp16-mul-add", "wang2018", "hfp8",
                                               "fp12-sr", "fp12-sr13", "fp16-fma,chunk=4x3", "fp12-sr,tree=8"}));
}

// Most with kernels in tiles, of one level or of several.
inline AccumulatorSpec DrawSpec(Random& random) {
  if (OneIn(random, 12)) return DrawNamedSpec(random);
  AccumulatorSpec spec = DrawPlainSpec(random);
  if (OneIn(random, 3)) DrawLevels(random, &spec);
  if (OneIn(random, 5)) DrawRules(random, &spec);
  if (OneIn(random, 20)) DrawTree(random, &spec);
  return spec;
}

enum class Kind {
  kAnyBits,
  kFewBits,
  kPowers,
  kAround1,
  kZeros,
  kLarge,
  kTiny,
  kCancelling,
  kSpecial,
  kOneSpecial,
  kCount
};

inline float DrawSpecial(Random& random) {
  return OneOf<float>(random, {INFINITY, -INFINITY, NAN, 0.0f, -0.0f, 0x1p-140f, -0x1.8p-127f, 0x1.fffffep127f});
}

inline float DrawValue(Random& random, Kind kind, int spread) {
  const float mantissa = static_cast<float>(Draw(random, -(1 << 23), 1 << 23)) / (1 << 23);
  const int exponent = static_cast<int>(Draw(random, -spread, spread));
  switch (kind) {
    case Kind::kAnyBits: {
      const uint32_t bits = static_cast<uint32_t>(random());
      float value;
      std::memcpy(&value, &bits, sizeof value);
      return value;
    }
    case Kind::kFewBits:  // never zero: products that are exact and inside a format
      return static_cast<float>(Draw(random, 4, 7) * OneOf<int64_t>(random, {-1, 1})) / 4.0f;
    case Kind::kPowers:  // products on the edges of formats
      return std::copysign(std::ldexp(1.0f, exponent), mantissa);
    case Kind::kZeros:
      return OneIn(random, 2) ? 0.0f : std::ldexp(mantissa, exponent);
    case Kind::kLarge:
      return std::ldexp(mantissa, 6 + exponent);
    case Kind::kTiny:
      return std::ldexp(mantissa, OneIn(random, 4) ? -130 : -6 + exponent);
    case Kind::kSpecial:
      return OneIn(random, 50) ? DrawSpecial(random) : std::ldexp(mantissa, exponent);
    default:
      return std::ldexp(mantissa, exponent);
  }
}

inline std::vector<float> DrawValues(Random& random, int64_t count) {
  const Kind kind = static_cast<Kind>(Draw(random, 0, static_cast<int64_t>(Kind::kCount) - 1));
  const int spread = static_cast<int>(OneOf<int64_t>(random, {0, 1, 3, 20}));
  std::vector<float> values(count);
  for (float& value : values) value = DrawValue(random, kind, spread);
  if (kind == Kind::kOneSpecial && count > 0) values[Draw(random, 0, count - 1)] = DrawSpecial(random);
  for (int64_t i = 1; kind == Kind::kCancelling && i < count; i += 2) values[i] = -values[i - 1];
  return values;
}

// Values as a tensor of some type holds them, and as float32.
struct Tensor {
  int32_t type;
  std::vector<float> values;
  std::vector<uint16_t> halfs;

  Tensor(int32_t element_type, std::vector<float> from) : type(element_type), values(std::move(from)) {
    if (type == LBA_FLOAT32) return;
    halfs.resize(values.size());
    Float32ToFloat16(values.data(), static_cast<int64_t>(values.size()), halfs.data());
    Widen();
  }
  void Widen() {
    if (type == LBA_FLOAT16) Float16ToFloat32(halfs.data(), static_cast<int64_t>(halfs.size()), values.data());
  }
  void* data() { return type == LBA_FLOAT32 ? static_cast<void*>(values.data()) : halfs.data(); }
  int64_t bytes() const { return static_cast<int64_t>(values.size()) * (type == LBA_FLOAT32 ? 4 : 2); }
};

inline void CheckOk(int code, const char* what, uint32_t seed) {
  CHECK(code == LBA_OK, "seed %u: %s: %s", seed, what, lba_cuda_last_error());
}

// Device memory that lives as long as it; null where it is empty.
class DeviceMemory {
 public:
  explicit DeviceMemory(int64_t bytes) { CheckOk(lba_cuda_allocate(bytes, &data_), "allocating", 0); }
  explicit DeviceMemory(Tensor* tensor) : DeviceMemory(tensor->bytes()) {
    CheckOk(lba_cuda_copy(data_, tensor->data(), tensor->bytes(), nullptr), "sending", 0);
  }
  ~DeviceMemory() { lba_cuda_free(data_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  void* data() const { return data_; }
  void Read(Tensor* tensor) const {
    CheckOk(lba_cuda_copy(tensor->data(), data_, tensor->bytes(), nullptr), "bringing back", 0);
    tensor->Widen();
  }

 private:
  void* data_ = nullptr;
};

// What LBA_ONNX_CUDA_TILE may name; empty: the library chooses.
inline std::string DrawTile(Random& random) {
  return OneOf<const char*>(random, {"", "large", "medium", "flat", "small", "thin"});
}

// Of the CUDA library.
inline const LbaAccumulator* OnCuda(const AccumulatorSpec& spec) {
  return KeptAccumulator<lba_cuda_accumulator_create>(spec);
}

enum class Weights { kNone, kFromHost, kFromDevice, kCount };

using PackedWeights = std::unique_ptr<LbaCudaWeights, decltype(&lba_cuda_release)>;

constexpr float kPoison = 77.0f;  // in outputs before they are computed

inline bool IsSame(float a, float b) {
  return std::isnan(a) ? std::isnan(b) : a == b && std::signbit(a) == std::signbit(b);
}

// `expected` in float32 is rounded once to the type of `got`.
inline void CheckSame(const Tensor& got, std::vector<float> expected, const std::string& what) {
  const Tensor rounded(got.type, std::move(expected));
  for (size_t i = 0; i < got.values.size(); ++i) {
    CHECK(IsSame(got.values[i], rounded.values[i]), "%s: output %zu of %zu: expected %a, got %a", what.c_str(), i,
          got.values.size(), static_cast<double>(rounded.values[i]), static_cast<double>(got.values[i]));
  }
}

// Fails unless every kernel has computed tiles.
inline void CheckAllKernelsRan() {
  const char* const names[] = {LBA_CUDA_KERNELS};
  int64_t counts[LBA_CUDA_KERNEL_COUNT];
  CheckOk(lba_cuda_kernel_counts(counts), "counting", 0);
  for (int i = 0; i < LBA_CUDA_KERNEL_COUNT; ++i) {
    std::printf("%s: %lld tiles\n", names[i], static_cast<long long>(counts[i]));
    CHECK(counts[i] > 0, "the kernel %s computed nothing", names[i]);
  }
}

}  // namespace lba

#endif  // LBA_TESTS_CUDA_CASES_H_
