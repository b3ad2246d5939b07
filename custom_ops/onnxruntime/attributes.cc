#include "onnxruntime/attributes.h"

#include <cstdint>

namespace lba::ort {
namespace {

// Far beyond any real convolution, and small enough that no sum or product of two of them overflows.
constexpr int64_t kMaxWindowValue = INT32_MAX;
constexpr int64_t kMaxSize = INT32_MAX;  // of a matrix, for the same reason
constexpr int64_t kMinBlockSize = 16, kMaxAccuracyLevel = 4;

[[noreturn]] void Fail(const char* name, const std::string& reason) {
  throw std::invalid_argument(std::string("attribute ") + name + ": " + reason);
}

int64_t ReadInt(const AttributeReader& attributes, const char* name, int64_t default_value) {
  int64_t value = default_value;
  attributes.Read(name, &value);
  return value;
}

bool ReadBiasStart(const AttributeReader& attributes) {
  const int64_t value = ReadInt(attributes, "bias_start", 0);
  if (value != 0 && value != 1) Fail("bias_start", "expected 0 or 1, got " + std::to_string(value));
  return value == 1;
}

// A size that has to be there.
int64_t ReadSize(const AttributeReader& attributes, const char* name) {
  int64_t value = 0;
  if (!attributes.Read(name, &value)) Fail(name, "expected an int of at least 1, got none");
  if (value < 1 || value > kMaxSize) {
    Fail(name, "expected 1 to " + std::to_string(kMaxSize) + ", got " + std::to_string(value));
  }
  return value;
}

std::vector<int64_t> ReadWindowValues(const AttributeReader& attributes, const char* name, int64_t smallest) {
  std::vector<int64_t> values;
  if (!attributes.Read(name, &values)) return {};
  if (values.empty()) Fail(name, "expected a list of ints, got an empty one");
  for (int64_t value : values) {
    if (value >= smallest && value <= kMaxWindowValue) continue;
    Fail(name, "expected values from " + std::to_string(smallest) + " to " + std::to_string(kMaxWindowValue) +
                   ", got " + std::to_string(value));
  }
  return values;
}

AutoPad ReadAutoPad(const AttributeReader& attributes) {
  std::string text = "NOTSET";
  attributes.Read("auto_pad", &text);
  if (text == "NOTSET") return AutoPad::kNotSet;
  if (text == "SAME_UPPER") return AutoPad::kSameUpper;
  if (text == "SAME_LOWER") return AutoPad::kSameLower;
  if (text == "VALID") return AutoPad::kValid;
  Fail("auto_pad", "expected NOTSET, SAME_UPPER, SAME_LOWER or VALID, got \"" + text + "\"");
}

}  // namespace

std::shared_ptr<StatisticsCollector> ReadStatistics(const AttributeReader& attributes, const std::string& product) {
  std::string key;
  attributes.Read("statistics", &key);
  if (key.empty()) return nullptr;
  if (!product.empty()) key += "/" + product;
  std::shared_ptr<StatisticsCollector> statistics = FindStatistics(key);
  if (!statistics) Fail("statistics", "expected a key whose run is open, got \"" + key + "\", whose run is not open");
  return statistics;
}

GemmAttributes ReadGemmAttributes(const AttributeReader& attributes) {
  GemmAttributes gemm;
  attributes.Read("alpha", &gemm.alpha);
  attributes.Read("beta", &gemm.beta);
  gemm.transposes_a = ReadInt(attributes, "transA", 0) != 0;
  gemm.transposes_b = ReadInt(attributes, "transB", 0) != 0;
  gemm.starts_from_bias = ReadBiasStart(attributes);
  if (gemm.starts_from_bias && gemm.alpha != 1.0f) {
    Fail("alpha", "expected 1 beside bias_start=1, got " + std::to_string(gemm.alpha));
  }
  return gemm;
}

ConvAttributes ReadConvAttributes(const AttributeReader& attributes) {
  ConvAttributes conv;
  conv.auto_pad = ReadAutoPad(attributes);
  conv.group = ReadInt(attributes, "group", 1);
  if (conv.group < 1 || conv.group > kMaxWindowValue) {
    Fail("group", "expected 1 to " + std::to_string(kMaxWindowValue) + ", got " + std::to_string(conv.group));
  }
  conv.kernel_shape = ReadWindowValues(attributes, "kernel_shape", 1);
  conv.strides = ReadWindowValues(attributes, "strides", 1);
  conv.dilations = ReadWindowValues(attributes, "dilations", 1);
  conv.pads = ReadWindowValues(attributes, "pads", 0);
  conv.starts_from_bias = ReadBiasStart(attributes);
  return conv;
}

NBitsAttributes ReadNBitsAttributes(const AttributeReader& attributes) {
  NBitsAttributes nbits;
  nbits.depth = ReadSize(attributes, "K");
  nbits.columns = ReadSize(attributes, "N");
  nbits.bits = ReadInt(attributes, "bits", 4);
  if (nbits.bits != 2 && nbits.bits != 4 && nbits.bits != 8) {
    Fail("bits", "expected 2, 4 or 8, got " + std::to_string(nbits.bits));
  }
  nbits.block_size = ReadSize(attributes, "block_size");
  if (nbits.block_size < kMinBlockSize || (nbits.block_size & (nbits.block_size - 1)) != 0) {
    Fail("block_size", "expected a power of two of at least 16, got " + std::to_string(nbits.block_size));
  }
  const int64_t accuracy_level = ReadInt(attributes, "accuracy_level", 0);
  if (accuracy_level < 0 || accuracy_level > kMaxAccuracyLevel) {
    Fail("accuracy_level", "expected 0 to 4, got " + std::to_string(accuracy_level));
  }
  nbits.quantizes_a = accuracy_level == kMaxAccuracyLevel;
  return nbits;
}

}  // namespace lba::ort
