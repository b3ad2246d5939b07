// The sums of a thread's outputs that lie further out than chunks: chains of sums of chunks, chains of these, and so
// on. They lie in memory of the thread's own, which is read and written once a chunk at most. Whoever uses them keeps
// them beside its own sums, not among these: what lies in one object with them leaves the registers, too.
#ifndef LBA_KERNELS_CUDA_OUTER_SUMS_H_
#define LBA_KERNELS_CUDA_OUTER_SUMS_H_

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "common/sum_order.h"

namespace lba::cuda {

// Of kMost levels at most; how many there are, and how long, `order` says.
template <int kMost, int kRows, int kColumns>
class OuterSums {
 public:
  using Sums = float[kRows][kColumns];

  __device__ OuterSums(const SumOrder& order, int64_t depth) : order_(order), depth_(static_cast<uint32_t>(depth)) {
    for (int level = 0; level + 1 < order.levels; ++level) Clear(sums_[level]);
  }

  // Behind a chunk that has joined `inner`, the chains of sums of chunks: passes on what ends here.
  template <class Arithmetic>
  __device__ __forceinline__ void EndChunk(const Arithmetic& arithmetic, Sums& inner) {
    end_ = std::min(end_ + static_cast<uint32_t>(order_.chunk()), depth_);
    if (!Passes(0)) return;
    Pass(arithmetic, inner, sums_[0]);
    for (int level = 1; Passes(level); ++level) Pass(arithmetic, sums_[level - 1], sums_[level]);
  }

  // At the end: `inner` becomes the sums of the outermost level.
  __device__ __forceinline__ void Finish(Sums& inner) const {
    if (order_.levels == 1) return;
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) inner[r][c] = sums_[order_.levels - 2][r][c];
    }
  }

 private:
  // As SumOrder::Passes: depths have 31 bits, and 32 bits divide faster.
  __device__ bool Passes(int level) const {
    return level + 1 < order_.levels &&
           (end_ == depth_ || end_ % static_cast<uint32_t>(order_.lengths[level + 1]) == 0);
  }

  __device__ static void Clear(Sums& sums) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) sums[r][c] = 0;
    }
  }

  template <class Arithmetic>
  __device__ __forceinline__ static void Pass(const Arithmetic& arithmetic, Sums& from, Sums& to) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
#pragma unroll
      for (int c = 0; c < kColumns; ++c) to[r][c] = arithmetic.Join(to[r][c], from[r][c]);
    }
    Clear(from);
  }

  const SumOrder& order_;
  const uint32_t depth_;
  uint32_t end_ = 0;  // products in chunks that have ended
  Sums sums_[kMost];
};

// None: the sums of chunks are the total.
template <int kRows, int kColumns>
class OuterSums<0, kRows, kColumns> {
 public:
  using Sums = float[kRows][kColumns];

  __device__ OuterSums(const SumOrder&, int64_t) {}
  template <class Arithmetic>
  __device__ __forceinline__ void EndChunk(const Arithmetic&, Sums&) {}
  __device__ __forceinline__ void Finish(Sums&) const {}
};

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_OUTER_SUMS_H_
