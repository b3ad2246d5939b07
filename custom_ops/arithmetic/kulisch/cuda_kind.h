// Exact sums on a CUDA device, as kernels/cuda/defined_kernels.h takes them.
#ifndef LBA_ARITHMETIC_KULISCH_CUDA_KIND_H_
#define LBA_ARITHMETIC_KULISCH_CUDA_KIND_H_

#include <cuda_runtime.h>

#include "arithmetic/kulisch/chains.h"
#include "arithmetic/kulisch/definition.h"
#include "common/random_bits.h"

namespace lba::cuda {

class KulischKind {
 public:
  struct Spec {
    ResultFormat result;
    SumGroups Groups(int64_t depth) const { return SumGroups(depth > 0 ? depth : 1); }
  };
  static constexpr int kGroups = 1;

  KulischKind(const Spec& spec, int64_t) : result_(spec.result.constants()) {}

  template <class Read>
  __device__ float Dot(const Place&, int64_t depth, float start, const Read& read) const {
    WideSum sum;
    sum.Add(start);
    for (int64_t k = 0; k < depth; ++k) {
      float x, w;
      read(k, &x, &w);
      sum.Add(static_cast<double>(x) * static_cast<double>(w));
    }
    return RoundedResult(sum, result_);
  }
  // Nothing is drawn: all slices are alike.
  template <class Read>
  __device__ float DotOfSlice(int64_t, const Place& place, int64_t depth, const Read& read) const {
    return Dot(place, depth, 0, read);
  }
  static KulischChains ChainsOf(const Spec& spec) { return KulischChains(spec.result); }

 private:
  RuledConstants result_;
};

}  // namespace lba::cuda

#endif  // LBA_ARITHMETIC_KULISCH_CUDA_KIND_H_
