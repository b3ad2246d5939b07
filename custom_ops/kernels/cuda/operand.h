// Operands in device memory: matrices as the caller has them, what is known of their values, and packed for the tiles.
#ifndef LBA_KERNELS_CUDA_OPERAND_H_
#define LBA_KERNELS_CUDA_OPERAND_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "common/value_range.h"
#include "kernels/cuda/instructions.h"
#include "lba/cuda_api.h"

namespace lba::cuda {

constexpr int kPanelWidth = 32;  // vectors side by side in a packed panel
constexpr int kStageDepth = 16;  // depths that a tile's threads copy at a time; packed depths are multiples of it

LBA_HOST_DEVICE inline int64_t CeilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
LBA_HOST_DEVICE inline int64_t RoundUp(int64_t a, int64_t b) { return CeilDiv(a, b) * b; }

// A multi-dimensional index into something with strides; the last dimension runs fastest.
struct StridedIndex {
  int rank = 0;
  int64_t sizes[LBA_CUDA_BATCH_RANK]{}, strides[LBA_CUDA_BATCH_RANK]{};

  int64_t count() const {
    int64_t product = 1;
    for (int i = 0; i < rank; ++i) product *= sizes[i];
    return product;
  }
  LBA_HOST_DEVICE int64_t operator()(int64_t index) const {
    int64_t offset = 0;
    for (int i = rank - 1; i >= 0; --i) {
      offset += index % sizes[i] * strides[i];
      index /= sizes[i];
    }
    return offset;
  }
};

// 2^log2 for the exponent of a normal value.
__device__ inline float PowerOfTwo(int log2) { return __uint_as_float(static_cast<uint32_t>(log2 + 127) << 23); }

// Values of a tensor: float32 or float16.
struct Values {
  const void* data = nullptr;
  bool is_half = false;

  int64_t element_bytes() const { return is_half ? 2 : 4; }
  __device__ float operator[](int64_t index) const {
    return is_half ? HalfToFloat(static_cast<const uint16_t*>(data)[index]) : static_cast<const float*>(data)[index];
  }
};

// Matrices of vectors along the depth: rows of A, columns of B, filters.
struct MatrixSource {
  Values values;
  StridedIndex matrices;  // the different ones; strides in elements
  int64_t vectors = 0, depth = 0, vector_stride = 0, depth_stride = 0;

  __device__ float Read(int64_t matrix_offset, int64_t vector, int64_t k) const {
    return values[matrix_offset + vector * vector_stride + k * depth_stride];
  }
  bool is_empty() const { return matrices.count() * vectors * depth == 0; }
  int64_t panels() const { return CeilDiv(vectors, kPanelWidth); }
  int64_t all_panels() const { return matrices.count() * panels(); }
};

// A ValueRange that threads widen by atomic operations, starting with zeros.
struct SharedRange {
  uint32_t max_bits, complement_of_min, any_bits;
  uint32_t squares_bits;  // of ValueRange::max_chunk_squares

  __device__ ValueRange Read() const {
    return {max_bits, 0x7fffffffu - complement_of_min, any_bits, __uint_as_float(squares_bits)};
  }
};

// What is known of a panel: its range, and, once it is packed, what follows from it.
struct PanelFacts {
  SharedRange range;
  PanelBounds bounds;
};

// A packed operand: panels [matrices][panels][padded depth][kPanelWidth] of scaled values, zero past the operand's end.
struct PackedOperand {
  const float* values = nullptr;
  const PanelFacts* facts = nullptr;   // of each panel
  const SharedRange* whole = nullptr;  // of all finite values, at least
  int64_t panels = 0, padded_depth = 0;

  __device__ const float* Panel(int64_t matrix, int64_t panel) const {
    return values + (matrix * panels + panel) * padded_depth * kPanelWidth;
  }
};

// What is found out about an operand: of each panel, then of the whole. Zeros before.
int64_t FactCount(const MatrixSource& source);
int64_t PackedFloats(const MatrixSource& source);

// Queues the kernel that finds the range of each panel, and of the whole, in chunks of `chunk`.
void FindRanges(const MatrixSource& source, int64_t chunk, PanelFacts* facts, cudaStream_t stream);

// Queues the kernels that fill `facts`, [FactCount] of zeros, and `values`, [PackedFloats], and says what they hold.
// For the moving operand of a product, `fixed` is the whole range of the other; null for the fixed one. A Kind is that
// of tile_plan.h; defined in pack_kernel.h.
template <class Kind>
PackedOperand Pack(const Kind& kind, const MatrixSource& source, const SharedRange* fixed, PanelFacts* facts,
                   float* values, cudaStream_t stream);

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_OPERAND_H_
