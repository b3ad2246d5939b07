// Chunked floats by ruled_definition.h on a CUDA device, as kernels/cuda/defined_kernels.h takes them.
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_CUDA_RULED_KIND_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_CUDA_RULED_KIND_H_

#include "arithmetic/chunked_float/ruled_chains.h"
#include "arithmetic/chunked_float/ruled_definition.h"
#include "common/defined_dot.h"
#include "kernels/cuda/defined_kernels.h"

namespace lba::cuda {

class RuledKind {
 public:
  using Spec = AccumulatorSpec;
  static constexpr int kGroups = kMaxGroups;

  RuledKind(const AccumulatorSpec& spec, int64_t depth)
      : constants_(RuledConstants::Of(spec)), order_(spec.Order(depth)) {}

  template <class Read>
  __device__ float Dot(const Place& place, int64_t depth, float start, const Read& read) const {
    const RuledDefinition definition(constants_);
    const double rounded = definition.At(place).StartFrom(start, order_.last_level(), depth);
    return DefinedDotFrom(rounded, definition, depth, order_, place, read);
  }
  // As the sum of a slice, which draws with a seed so much larger.
  template <class Read>
  __device__ float DotOfSlice(int64_t slice, const Place& place, int64_t depth, const Read& read) const {
    RuledConstants constants = constants_;
    constants.seed += static_cast<uint64_t>(slice);
    return DefinedDot(RuledDefinition(constants), depth, order_, place, read);
  }
  static RuledChains ChainsOf(const AccumulatorSpec& spec) { return RuledChains(spec); }

 private:
  RuledConstants constants_;
  SumOrder order_;
};

}  // namespace lba::cuda

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_CUDA_RULED_KIND_H_
