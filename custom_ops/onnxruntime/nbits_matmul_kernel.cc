// Matrix products with weights of few bits: LbaMatMulNBits.
#include <utility>

#include "lba/block_quantized.h"
#include "onnxruntime/kernel.h"
#include "onnxruntime/operator_registry.h"
#include "onnxruntime/shape_inference.h"
#include "onnxruntime/shape_rules.h"

namespace lba::ort {
namespace {

enum Input : size_t { kA, kB, kScales, kZeroPoints, kBlockOfDepth, kInputs };

[[noreturn]] void FailShape(const std::string& name, const std::string& expected, const Tensor& tensor) {
  throw std::invalid_argument("expected " + name + " of shape " + expected + ", got " +
                              ToString(KnownShape(tensor.dimensions)));
}

// The weights as they come in a call or, constant, with a node, and what the kernels read.
class NBitsWeights {
 public:
  // `block_of_depth` may be absent, as may `zero_points`.
  NBitsWeights(const NBitsAttributes& attributes, const Tensor& b, const Tensor& scales, const Tensor& zero_points,
               const Tensor& block_of_depth) {
    weights_.columns = attributes.columns;
    weights_.depth = attributes.depth;
    weights_.bits = static_cast<int>(attributes.bits);
    weights_.block_size = attributes.block_size;
    RequireShape("B", b, {weights_.columns, weights_.blocks(), weights_.block_bytes()});
    weights_.codes = static_cast<const uint8_t*>(b.data);
    RequireMatrix("scales", scales, weights_.blocks());
    scales_ = Floats(scales);
    weights_.scales = scales_.data();
    if (zero_points.is_present()) SetZeroPoints(zero_points);
    if (block_of_depth.is_present()) SetBlocks(block_of_depth);
  }

  const BlockQuantized& get() const { return weights_; }

 private:
  static void RequireShape(const char* name, const Tensor& tensor, const std::vector<int64_t>& wanted) {
    if (tensor.dimensions != wanted) FailShape(name, ToString(KnownShape(wanted)), tensor);
  }

  // [columns, of_column], or the same in one dimension.
  void RequireMatrix(const char* name, const Tensor& tensor, int64_t of_column) const {
    const std::vector<int64_t> matrix{weights_.columns, of_column}, flat{weights_.columns * of_column};
    if (tensor.dimensions == matrix || tensor.dimensions == flat) return;
    FailShape(name, ToString(KnownShape(matrix)) + " or " + ToString(KnownShape(flat)), tensor);
  }

  void SetZeroPoints(const Tensor& tensor) {
    const bool are_codes = tensor.type == kUint8;
    RequireMatrix("zero_points", tensor, are_codes ? weights_.zero_bytes() : weights_.blocks());
    if (are_codes) {
      weights_.zero_codes = static_cast<const uint8_t*>(tensor.data);
    } else {
      zero_points_ = Floats(tensor);
      weights_.zero_points = zero_points_.data();
    }
  }

  void SetBlocks(const Tensor& tensor) {
    const int64_t padded = weights_.blocks() * weights_.block_size;
    const bool fits = tensor.dimensions.size() == 1 && (tensor.count() == weights_.depth || tensor.count() == padded);
    if (!fits) FailShape("g_idx", Text({weights_.depth}) + " or " + Text({padded}), tensor);
    weights_.block_of_depth = static_cast<const int32_t*>(tensor.data);
    for (int64_t k = 0; k < weights_.depth; ++k) {
      const int32_t block = weights_.block_of_depth[k];
      if (block >= 0 && block < weights_.blocks()) continue;
      throw std::invalid_argument("expected blocks from 0 to " + std::to_string(weights_.blocks() - 1) +
                                  " in g_idx, got " + std::to_string(block) + " at " + std::to_string(k));
    }
  }

  static std::string Text(const std::vector<int64_t>& dimensions) { return ToString(KnownShape(dimensions)); }

  BlockQuantized weights_;
  Floats scales_, zero_points_;
};

class NBitsMatMulKernel : public Kernel {
 public:
  explicit NBitsMatMulKernel(const Node& node)
      : statistics_(ReadStatistics(node.attributes())),
        attributes_(ReadNBitsAttributes(node.attributes())),
        accumulator_(ReadAccumulator(node.attributes())) {
    RequireFloats(*accumulator_);
    NBitsOutput(node.InputShape(kA), attributes_);
    Tensor constants[kInputs];
    for (size_t input = kB; input < kInputs; ++input) {
      if (!node.HasInput(input)) continue;
      constants[input] = node.ConstantInput(input);
      if (constants[input].data == nullptr) return;
    }
    packed_ = Pack([&](size_t input) { return constants[input]; }, SerialParallel());
  }

  void Compute(const Call& call) const override {
    const Tensor a = call.Input(kA);
    RequireRank(a);
    const FloatOutput y(call, a.type, KnownDimensions(NBitsOutput(KnownShape(a.dimensions), attributes_)));
    if (y.count() == 0) return;
    const SessionParallel parallel(call);
    const Packed packed = packed_.matrix ? packed_ : Pack([&](size_t input) { return call.Input(input); }, parallel);
    const int64_t rows = y.count() / attributes_.columns;
    const Floats a_values(a);
    std::vector<float> quantized;
    if (packed.quantizes_a) {
      quantized.resize(static_cast<size_t>(rows * attributes_.depth));
      QuantizeRows(rows, attributes_.depth, attributes_.block_size, a_values.data(), quantized.data(), parallel);
    }
    const float* operand = packed.quantizes_a ? quantized.data() : a_values.data();
    QuantizedMatMul(*accumulator_, rows, operand, *packed.matrix, y.data(), parallel, statistics_.get());
    y.Finish();
  }

 private:
  struct Packed {
    std::shared_ptr<const QuantizedMatrix> matrix;
    bool quantizes_a = false;
  };

  // onnxruntime's kernel for quantized operands A knows neither zero points of floats nor g_idx, and has A in full
  // there.
  template <class InputOf>
  Packed Pack(const InputOf& input, const Parallel& parallel) const {
    const NBitsWeights weights(attributes_, input(kB), input(kScales), input(kZeroPoints), input(kBlockOfDepth));
    return {PackQuantized(*accumulator_, weights.get(), parallel),
            attributes_.quantizes_a && !weights.get().subtracts_products()};
  }

  std::shared_ptr<StatisticsCollector> statistics_;
  NBitsAttributes attributes_;
  SharedAccumulator accumulator_;
  Packed packed_;  // of constant weights
};

// Zero points are codes, or floats of A's type.
std::vector<Signature> Signatures() {
  std::vector<Signature> signatures;
  for (const ElementType type : {kFloat32, kFloat16}) {
    for (const ElementType zero_points : {kUint8, type}) {
      signatures.push_back({{type, kUint8, type, zero_points, kInt32}, {type}});
    }
  }
  return signatures;
}

const OperatorRegistration nbits_matmul({"LbaMatMulNBits", kInputs, 3, MakeMatMulNBitsKernel, nullptr, InferMatMulNBits,
                                         Signatures()});

}  // namespace

std::unique_ptr<Kernel> MakeMatMulNBitsKernel(const Node& node) { return std::make_unique<NBitsMatMulKernel>(node); }

}  // namespace lba::ort
