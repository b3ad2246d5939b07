// Counts what the statistics tell of the dot products of a call, for the chains of any kind.
#ifndef LBA_KERNELS_CUDA_STATISTICS_KERNEL_H_
#define LBA_KERNELS_CUDA_STATISTICS_KERNEL_H_

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <vector>

#include "common/levels.h"
#include "common/sampling.h"
#include "kernels/cuda/conv.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/memory.h"
#include "kernels/cuda/patch_source.h"
#include "kernels/cuda/statistics.h"

namespace lba::cuda {
namespace statistics {

constexpr unsigned kAllLanes = 0xffffffffu;
constexpr int kSide = 16;  // threads along each side of a tile
constexpr int kThreads = kSide * kSide;
constexpr int kBlocks = 2;     // that are meant to share a multiprocessor: nothing is spilled
constexpr int kPerThread = 2;  // outputs of a thread along each side: chains side by side hide the additions' latency
constexpr int kTile = kSide * kPerThread;
constexpr int kSliceDepth = 16;
// A block counts in 32 bits: fewer than 2^31 values of a kind before it hands them over.
constexpr int64_t kCountedDepth = 1 << 20;
static_assert(kCountedDepth % kSliceDepth == 0 && kTile * kTile * kCountedDepth < int64_t{1} << 31);

// Loops over the sums and outputs of a thread: those of many groups lie in memory, unrolled or not.
template <int kGroups>
constexpr int kUnrolledSums = kGroups > 1 ? 1 : 8;

// LbaLevels as 64-bit words, of which the device fills all: the largest value, and what is counted.
using Word = unsigned long long;
constexpr int kLevelWords = sizeof(LbaLevel) / sizeof(Word);
constexpr int kCounters = kLevelWords - 1;  // of a level: values, events, bins
constexpr int kBins = 1 + LBA_LEVEL_EVENTS;
static_assert(sizeof(LbaLevel) == kLevelWords * sizeof(Word) && kCounters == kBins + LBA_LOG2_BINS);
static_assert(offsetof(LbaLevel, max_abs) == 0 && offsetof(LbaLevel, log2) == (1 + kBins) * sizeof(Word));

template <class Moving>
struct CountArgs {
  Moving moving;
  MatrixSource fixed;
  bool is_moving_along_depth, is_fixed_along_depth;  // how values lie side by side
  int64_t moving_tiles, fixed_tiles;                 // of one matrix
  const int64_t* first;                              // the first moving vector to look at, of each matrix; null: 0
  int64_t step;                                      // from one such vector to the next
  SumGroups groups;
  Word* words;  // an LbaLevel for each level
};

// Values of some depths of a tile's vectors, zero past the operand's end.
using Slice = double[kSliceDepth][kTile + 1];
struct Slices {
  Slice moving, fixed;
};

// Which vectors a block works on: first_moving + i * step and first_fixed + j.
struct Place {
  int64_t moving_offset, fixed_offset, first_moving, first_fixed;

  template <class Moving>
  __device__ explicit Place(const CountArgs<Moving>& args) {
    const int64_t tiles = blockIdx.x / args.fixed_tiles, matrix = tiles / args.moving_tiles;
    moving_offset = args.moving.matrices(matrix);
    fixed_offset = args.fixed.matrices(matrix);
    first_moving = tiles % args.moving_tiles * kTile * args.step + (args.first == nullptr ? 0 : args.first[matrix]);
    first_fixed = blockIdx.x % args.fixed_tiles * kTile;
  }
};

// Depths begin ... begin + depths - 1 of vectors first + i * step of a matrix.
struct Part {
  int64_t matrix_offset, first, step, begin;
  int depths;
  bool is_along_depth;
};

template <class Source>
__device__ void Load(const Source& source, const Part& part, Slice& slice) {
  for (int n = threadIdx.x; n < kTile * kSliceDepth; n += kThreads) {
    const int i = part.is_along_depth ? n / kSliceDepth : n % kTile;
    const int k = part.is_along_depth ? n % kSliceDepth : n / kTile;
    const int64_t vector = part.first + i * part.step;
    const bool is_inside = vector < source.vectors && k < part.depths;
    slice[k][i] = is_inside ? source.Read(part.matrix_offset, vector, part.begin + k) : 0.0f;
  }
}

// Shows a follower the exact products of a tile, in the order of the definition, with at most kGroups sums before the
// total: one, known beforehand, stays in registers. The thread's outputs are those of moving vectors y + i * kSide
// and fixed vectors x + j * kSide of the tile.
template <int kGroups, class Moving, class Follower>
__device__ void FollowTile(const CountArgs<Moving>& args, const Place& place, Slices& slices, Follower* follower) {
  const int x = threadIdx.x % kSide, y = threadIdx.x / kSide;
  const int64_t depth = args.fixed.depth, run = args.groups.RunLength(depth);
  int64_t in_run = 0;
  for (int64_t begin = 0; begin < depth; begin += kSliceDepth) {
    const int depths = static_cast<int>(std::min<int64_t>(depth - begin, kSliceDepth));
    __syncthreads();
    Load(args.moving, {place.moving_offset, place.first_moving, args.step, begin, depths, args.is_moving_along_depth},
         slices.moving);
    Load(args.fixed, {place.fixed_offset, place.first_fixed, 1, begin, depths, args.is_fixed_along_depth},
         slices.fixed);
    __syncthreads();
    for (int k = 0; k < depths; ++k) {
      for (int i = 0; i < kPerThread; ++i) {
        for (int j = 0; j < kPerThread; ++j) {
          follower->Add(i, j, slices.moving[k][y + i * kSide] * slices.fixed[k][x + j * kSide]);
        }
      }
      if (++in_run < run && begin + k + 1 < depth) continue;
#pragma unroll Follower::kUnrolled
      for (int n = 0; n < kGroups; ++n) {
        // A run is a group of the innermost.
        if (n > 0 && (n == args.groups.count || !args.groups.Ends(n, begin + k + 1, depth))) break;
        follower->EndGroups(n);
      }
      in_run = 0;
    }
    if ((begin + kSliceDepth) % kCountedDepth == 0) follower->HandOver(args.words);
  }
  follower->HandOver(args.words);
}

// The largest finite magnitudes of unquantized chains.
template <int kGroups>
class LargestValues {
 public:
  static constexpr int kUnrolled = kUnrolledSums<kGroups>;

  __device__ void Add(int i, int j, double product) {
    sums_[0][i][j] += product;
    Raise(product, &largest_[0]);
    Raise(sums_[0][i][j], &largest_[1]);
  }

  __device__ void EndGroups(int n) {
#pragma unroll kUnrolled
    for (int i = 0; i < kPerThread; ++i) {
#pragma unroll kUnrolled
      for (int j = 0; j < kPerThread; ++j) {
        sums_[n + 1][i][j] += sums_[n][i][j];
        Raise(sums_[n + 1][i][j], &largest_[n + 2]);
        sums_[n][i][j] = 0;
      }
    }
  }

  __device__ void HandOver(Word* words) {
#pragma unroll kUnrolled
    for (int level = 0; level < kGroups + 2; ++level) HandOver(largest_[level], words + level * kLevelWords);
  }

 private:
  // Magnitudes of doubles order like their bits; those of infinity and NaN come last.
  __device__ static void Raise(double value, uint64_t* largest) {
    constexpr uint64_t kInfinity = uint64_t{0x7ff} << 52;
    uint64_t magnitude;
    memcpy(&magnitude, &value, sizeof magnitude);
    magnitude &= ~uint64_t{0} >> 1;
    if (magnitude < kInfinity && magnitude > *largest) *largest = magnitude;
  }

  __device__ static void HandOver(uint64_t largest, Word* word) {
    for (int distance = 16; distance > 0; distance /= 2) {
      largest = std::max(largest, __shfl_xor_sync(kAllLanes, largest, distance));
    }
    // Most warps find that others have seen more: a plain read spares them the atomic operation.
    if (threadIdx.x % 32 == 0 && largest > *word) atomicMax(word, static_cast<Word>(largest));
  }

  double sums_[kGroups + 1][kPerThread][kPerThread]{};
  uint64_t largest_[kGroups + 2]{};  // of each level
};

// Histograms and events of the dot products of a tile. `counters` are the block's, in shared memory: of each level, as
// in LbaLevel.
template <int kGroups, class Chains>
class CountedChains {
 public:
  static constexpr int kUnrolled = kUnrolledSums<kGroups>;

  template <class Moving>
  __device__ CountedChains(const Chains& steps, const CountArgs<Moving>& args, const Place& place, unsigned* counters)
      : steps_(steps), counters_(counters) {
    for (int n = threadIdx.x; n < kLevels * kCounters; n += kThreads) counters[n] = 0;
    for (int i = 0; i < kPerThread; ++i) {
      const int64_t moving = place.first_moving + (threadIdx.x / kSide + i * kSide) * args.step;
      for (int j = 0; j < kPerThread; ++j) {
        const int64_t fixed = place.first_fixed + threadIdx.x % kSide + j * kSide;
        is_inside_[i][j] = moving < args.moving.vectors && fixed < args.fixed.vectors;
      }
    }
  }

  __device__ void Add(int i, int j, double product) {
    if (!is_inside_[i][j]) return;
    steps_.AddProduct(product, &chains_[i][j], &events_);
    Count(0, product);
    Count(1, chains_[i][j].exact_sums[0]);
  }

  __device__ void EndGroups(int n) {
#pragma unroll kUnrolled
    for (int i = 0; i < kPerThread; ++i) {
#pragma unroll kUnrolled
      for (int j = 0; j < kPerThread; ++j) {
        if (!is_inside_[i][j]) continue;
        steps_.EndGroup(n, &chains_[i][j], &events_);
        Count(n + 2, chains_[i][j].exact_sums[n + 1]);
      }
    }
  }

  __device__ void HandOver(Word* words) {
#pragma unroll kUnrolled
    for (int level = 0; level < kLevels; ++level) {
      AddOfWarp(events_.levels[level].values, counters_ + level * kCounters);
#pragma unroll kUnrolled
      for (int event = 0; event < Chains::kEvents; ++event) {
        AddOfWarp(events_.levels[level].events[event], counters_ + level * kCounters + 1 + event);
      }
    }
    events_ = {};
    __syncthreads();
    for (int n = threadIdx.x; n < kLevels * kCounters; n += kThreads) {
      Word* word = words + n / kCounters * kLevelWords + 1 + n % kCounters;
      if (counters_[n] != 0) atomicAdd(word, static_cast<Word>(counters_[n]));
      counters_[n] = 0;
    }
  }

 private:
  static constexpr int kLevels = kGroups + 2;

  __device__ void Count(int level, double value) {
    const int bin = Log2Bin(value);
    if (bin >= 0) atomicAdd(counters_ + level * kCounters + kBins + bin, 1u);
  }

  __device__ static void AddOfWarp(int64_t count, unsigned* counter) {
    auto sum = static_cast<uint32_t>(count);
    for (int distance = 16; distance > 0; distance /= 2) sum += __shfl_xor_sync(kAllLanes, sum, distance);
    if (threadIdx.x % 32 == 0) atomicAdd(counter, sum);
  }

  const Chains& steps_;
  unsigned* const counters_;
  typename Chains::Chain chains_[kPerThread][kPerThread];
  ChainEvents events_;
  bool is_inside_[kPerThread][kPerThread];
};

template <int kGroups, class Moving>
__global__ void __launch_bounds__(kThreads, kBlocks) LargestKernel(const __grid_constant__ CountArgs<Moving> args) {
  __shared__ Slices slices;
  LargestValues<kGroups> largest;
  FollowTile<kGroups>(args, Place(args), slices, &largest);
}

template <class Moving, class Chains>
struct SampleArgs {
  CountArgs<Moving> count;
  Chains chains;
};

template <int kGroups, class Moving, class Chains>
__global__ void __launch_bounds__(kThreads, kBlocks)
    SampleKernel(const __grid_constant__ SampleArgs<Moving, Chains> args) {
  __shared__ Slices slices;
  __shared__ unsigned counters[(kGroups + 2) * kCounters];
  const Place place(args.count);
  CountedChains<kGroups, Chains> chains(args.chains, args.count, place, counters);
  FollowTile<kGroups>(args.count, place, slices, &chains);
}

// Of one call: each of its matrices is sampled as a call of its own.
struct Samples {
  std::vector<int64_t> first;
  int64_t step = 1, most = 0, all = 0;  // positions of the matrix that has most, and of all matrices

  Samples(int64_t matrices, int64_t positions, int64_t call, double sampled_fraction) {
    for (int64_t matrix = 0; matrix < matrices; ++matrix) {
      const SampledPositions samples = SampledPositions::Of(positions, call + matrix, sampled_fraction);
      first.push_back(samples.first);
      step = samples.step;
      most = std::max(most, samples.count);
      all += samples.count;
    }
  }
};

// Of at most kGroups groups.
template <int kGroups, class Chains, class Moving>
Counts Count(const Chains& chains, const SumGroups& groups, const Moving& moving, const MatrixSource& fixed,
             int64_t call, double sampled_fraction, cudaStream_t stream) {
  Counts counts(groups.levels());
  const int64_t matrices = fixed.matrices.count();
  if (matrices == 0 || moving.vectors == 0 || fixed.vectors == 0 || fixed.depth == 0) return counts;
  const Samples samples(matrices, moving.vectors, call, sampled_fraction);
  const int64_t first_bytes = matrices * sizeof(int64_t);
  const size_t level_bytes = (kGroups + 2) * sizeof(LbaLevel);
  const DeviceMemory memory(level_bytes + first_bytes);
  Word* words = reinterpret_cast<Word*>(memory.data());
  void* first = words + (kGroups + 2) * kLevelWords;
  Check(cudaMemsetAsync(words, 0, level_bytes, stream), "clearing statistics");
  Check(cudaMemcpyAsync(first, samples.first.data(), first_bytes, cudaMemcpyHostToDevice, stream), "copying samples");
  CountArgs<Moving> args{moving,
                         fixed,
                         IsAlongDepth(moving),
                         IsAlongDepth(fixed),
                         CeilDiv(moving.vectors, kTile),
                         CeilDiv(fixed.vectors, kTile),
                         nullptr,
                         1,
                         groups,
                         words};
  Launch(LargestKernel<kGroups, Moving>, matrices * args.moving_tiles * args.fixed_tiles, kThreads, stream, args);
  args.first = static_cast<const int64_t*>(first);
  args.step = samples.step;
  args.moving_tiles = CeilDiv(samples.most, kTile);
  Launch(SampleKernel<kGroups, Moving, Chains>, matrices * args.moving_tiles * args.fixed_tiles, kThreads, stream,
         SampleArgs<Moving, Chains>{args, chains});
  const size_t counted_bytes = counts.levels.size() * sizeof(LbaLevel);
  Check(cudaMemcpyAsync(counts.levels.data(), words, counted_bytes, cudaMemcpyDeviceToHost, stream),
        "copying statistics");
  Check(cudaStreamSynchronize(stream), "counting statistics");
  counts.outputs = matrices * moving.vectors * fixed.vectors;
  counts.sampled_outputs = samples.all * fixed.vectors;
  return counts;
}

inline StridedIndex BatchOf(const LbaCudaMatMulArgs& args, const int64_t* strides) {
  StridedIndex index;
  index.rank = args.batch_rank;
  std::copy_n(args.batch, args.batch_rank, index.sizes);
  std::copy_n(strides, args.batch_rank, index.strides);
  return index;
}

}  // namespace statistics

template <int kGroups, class Chains>
Counts CountMatMul(const Chains& chains, const SumGroups& groups, const LbaCudaMatMulArgs& args, int64_t call,
                   double sampled_fraction, cudaStream_t stream) {
  using namespace statistics;
  const bool is_half = args.type == LBA_FLOAT16;
  const MatrixSource rows{{args.a, is_half}, BatchOf(args, args.a_batch_strides),
                          args.rows,         args.depth,
                          args.a_row_stride, args.a_depth_stride};
  const MatrixSource columns{{args.b, is_half},    BatchOf(args, args.b_batch_strides),
                             args.columns,         args.depth,
                             args.b_column_stride, args.b_depth_stride};
  return Count<kGroups>(chains, groups, rows, columns, call, sampled_fraction, stream);
}

template <int kGroups, class Chains>
Counts CountConv(const Chains& chains, const SumGroups& groups, const ConvShape& shape, const Values& x,
                 const Values& w, int64_t call, double sampled_fraction, cudaStream_t stream) {
  using namespace statistics;
  return Count<kGroups>(chains, groups, PatchSource(shape, x), FiltersOf(shape, w), call, sampled_fraction, stream);
}

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_STATISTICS_KERNEL_H_
