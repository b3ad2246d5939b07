// Sums by slices on a CUDA device, as kernels/cuda/defined_kernels.h takes them: the slices of an output, one after the
// other in its thread, by the definition of what sums them.
#ifndef LBA_ARITHMETIC_SPLITK_CUDA_KIND_H_
#define LBA_ARITHMETIC_SPLITK_CUDA_KIND_H_

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "arithmetic/chunked_float/ruled_definition.h"
#include "arithmetic/result_format.h"
#include "common/random_bits.h"

namespace lba::cuda {

// An Inner is a Kind of kernels/cuda/defined_kernels.h with, besides,
//   DotOfSlice(slice, place, depth, read)   the sum of a slice, with its random bits
template <class Inner>
class SplitKind {
 public:
  struct Spec {
    typename Inner::Spec inner;
    int64_t slices;
    ResultFormat total;

    int64_t SizeOf(int64_t depth) const { return std::max<int64_t>((depth + slices - 1) / slices, 1); }
  };

  SplitKind(const Spec& spec, int64_t depth)
      : size_(spec.SizeOf(depth)),
        inner_(spec.inner, size_),
        last_(spec.inner, depth % size_ == 0 ? size_ : depth % size_),
        total_(spec.total.constants()) {}

  template <class Read>
  __device__ float Dot(const Place& place, int64_t depth, float start, const Read& read) const {
    const RuledOutput output(total_, {});
    double total = output.StartFrom(start, 1, 0);
    for (int64_t slice = 0, begin = 0; begin < depth; ++slice, begin += size_) {
      const int64_t count = size_ < depth - begin ? size_ : depth - begin;
      const Inner& inner = count == size_ ? inner_ : last_;
      const float part =
          inner.DotOfSlice(slice, place, count, [&](int64_t k, float* x, float* w) { read(begin + k, x, w); });
      total = output.Join(total, part, 1, 0);
    }
    return static_cast<float>(total);
  }

 private:
  int64_t size_;
  Inner inner_, last_;
  RuledConstants total_;
};

}  // namespace lba::cuda

#endif  // LBA_ARITHMETIC_SPLITK_CUDA_KIND_H_
