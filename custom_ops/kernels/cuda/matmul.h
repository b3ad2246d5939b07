// Batched matrix products on the device.
#ifndef LBA_KERNELS_CUDA_MATMUL_H_
#define LBA_KERNELS_CUDA_MATMUL_H_

#include <cuda_runtime.h>

#include <cstdint>

#include "arithmetic/accumulator.h"
#include "kernels/cuda/operand.h"
#include "kernels/cuda/output.h"

namespace lba::cuda {

struct MatMulProblem {
  const Accumulator* accumulator;              // with kernels for CUDA
  MatrixSource rows, columns;                  // A, which moves, and B, which is fixed
  StridedIndex row_matrices, column_matrices;  // for each entry of the batch, its matrix of A and of B
  Output output;                               // y [batch][rows][columns]
  int64_t addend_row_stride = 0, addend_column_stride = 0;

  int64_t batch() const { return row_matrices.count(); }
  int64_t depth() const { return rows.depth; }
  int64_t outputs() const { return batch() * rows.vectors * columns.vectors; }
};

// Bytes of scratch memory of RunMatMul; `has_packed` when B comes packed.
int64_t MatMulWorkspaceBytes(const MatMulProblem& problem, bool has_packed);

// Queues the product. `packed` is B, or null. Throws CudaError, or std::invalid_argument. A Kind is that of
// tile_plan.h, for the accumulator and the depth of the problem; defined in matmul_kernel.h.
template <class Kind>
void RunMatMul(const Kind& kind, const MatMulProblem& problem, const PackedOperand* packed, void* workspace,
               cudaStream_t stream);

}  // namespace lba::cuda

#endif  // LBA_KERNELS_CUDA_MATMUL_H_
