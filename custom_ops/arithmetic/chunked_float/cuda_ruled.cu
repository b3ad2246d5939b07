#include "arithmetic/chunked_float/cuda_ruled.h"
#include "arithmetic/chunked_float/ruled_chains.h"
#include "arithmetic/chunked_float/ruled_definition.h"
#include "common/defined_dot.h"
#include "kernels/cuda/defined_kernels.h"

namespace lba::cuda {

// As kernels/cuda/defined_kernels.h takes it.
class RuledKind {
 public:
  using Spec = AccumulatorSpec;
  static constexpr int kGroups = kMaxGroups;

  RuledKind(const AccumulatorSpec& spec, int64_t depth)
      : constants_(RuledConstants::Of(spec)), order_(spec.Order(depth)) {}

  template <class Read>
  __device__ float Dot(const Place& place, int64_t depth, const Read& read) const {
    return DefinedDot(RuledDefinition(constants_), depth, order_, place, read);
  }
  static RuledChains ChainsOf(const AccumulatorSpec& spec) { return RuledChains(spec); }

 private:
  RuledConstants constants_;
  SumOrder order_;
};

std::unique_ptr<const Kernels> RuledKernels(const AccumulatorSpec& spec) {
  return std::make_unique<const DefinedKernels<RuledKind>>(spec);
}

}  // namespace lba::cuda
