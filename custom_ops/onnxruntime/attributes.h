// The attributes of the operators, read alike at kernel creation and during shape inference.
#ifndef LBA_ONNXRUNTIME_ATTRIBUTES_H_
#define LBA_ONNXRUNTIME_ATTRIBUTES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "arithmetic/attributes.h"
#include "common/attribute_reader.h"
#include "lba/statistics.h"
#include "onnxruntime/ort_api.h"

namespace lba::ort {

// Throws std::invalid_argument when an attribute has another type.
class KernelAttributes : public AttributeReader {
 public:
  KernelAttributes(const Api* api, const KernelInfo* info) : api_(api), info_(info) {}
  bool Read(const char* name, int64_t* out) const override;
  bool Read(const char* name, float* out) const override;
  bool Read(const char* name, std::string* out) const override;
  bool Read(const char* name, std::vector<int64_t>* out) const override;

 private:
  // The type of the attribute in words, or "" when there is none.
  std::string TypeOf(const char* name) const;
  bool Absent(const char* name, const char* expected) const;

  const Api* api_;
  const KernelInfo* info_;
};

// Takes an attribute of another type for absent: kernel creation comes later and reports it. Reads no floats: no shape
// depends on one.
class InferenceAttributes : public AttributeReader {
 public:
  InferenceAttributes(const Api* api, const ShapeInferContext* context) : api_(api), context_(context) {}
  bool Read(const char* name, int64_t* out) const override;
  bool Read(const char* name, float* out) const override;
  bool Read(const char* name, std::string* out) const override;
  bool Read(const char* name, std::vector<int64_t>* out) const override;

 private:
  const OpAttr* Find(const char* name) const;

  const Api* api_;
  const ShapeInferContext* context_;
};

struct GemmAttributes {
  float alpha = 1.0f;
  float beta = 1.0f;
  bool transposes_a = false;
  bool transposes_b = false;
  bool starts_from_bias = false;  // the accumulator starts from beta * C
};

enum class AutoPad { kNotSet, kSameUpper, kSameLower, kValid };

// Empty lists stand for the default: what the weights say, 1, or 0.
struct ConvAttributes {
  AutoPad auto_pad = AutoPad::kNotSet;
  int64_t group = 1;
  std::vector<int64_t> kernel_shape, strides, dilations, pads;
  bool starts_from_bias = false;  // the accumulator starts from the bias
};

// Of weights of few bits, as MatMulNBits has them.
struct NBitsAttributes {
  int64_t depth = 0, columns = 0;  // K and N
  int64_t bits = 4, block_size = 0;
  bool quantizes_a = false;  // accuracy_level 4
};

// All throw std::invalid_argument with the attribute's name, what was expected and what came.
// ReadStatistics: `product` is that of a node with several; its key is the node's with "/product" behind it.
std::shared_ptr<StatisticsCollector> ReadStatistics(const AttributeReader& attributes, const std::string& product = "");
GemmAttributes ReadGemmAttributes(const AttributeReader& attributes);
ConvAttributes ReadConvAttributes(const AttributeReader& attributes);
NBitsAttributes ReadNBitsAttributes(const AttributeReader& attributes);

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_ATTRIBUTES_H_
