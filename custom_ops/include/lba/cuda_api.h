/* Entry points of the optional library lba_ops_cuda: the products of lba/c_api.h on a CUDA device, with the same bits.
   Pointers to values are device pointers unless said otherwise. Work is queued on `stream` (a cudaStream_t; null is the
   default stream) of the current device; nothing waits for it unless said. All functions return LBA_OK, or a nonzero
   code with the reason in lba_cuda_last_error() of the calling thread. No function throws. */
#ifndef LBA_CUDA_API_H_
#define LBA_CUDA_API_H_

#include "lba/c_api.h"

#ifdef __cplusplus
extern "C" {
#endif

#define LBA_CUDA_FAILED 4 /* a CUDA call failed; the reason holds its name and CUDA's message */

#define LBA_CUDA_BATCH_RANK 8

LBA_EXPORT const char* lba_cuda_version(void);
LBA_EXPORT const char* lba_cuda_last_error(void);

/* As lba_accumulator_create and lba_accumulator_release. The accumulators of one library are of no use to the other. */
LBA_EXPORT int lba_cuda_accumulator_create(const char* text, LbaAccumulator** out);
LBA_EXPORT void lba_cuda_accumulator_release(LbaAccumulator* accumulator);

typedef struct LbaCudaDevice {
  char name[256];
  int32_t compute_major, compute_minor;
  int32_t multiprocessors;
  int32_t driver_version, runtime_version; /* as CUDA counts: 13000 is 13.0 */
  int64_t memory_bytes;
} LbaCudaDevice;

/* 0 devices, and LBA_OK, on a machine without a driver or a device. */
LBA_EXPORT int lba_cuda_device_count(int32_t* count);
LBA_EXPORT int lba_cuda_device(int32_t index, LbaCudaDevice* out);

/* Device memory of the current device. Copies go in any direction and are queued; pageable host memory makes them
   wait. */
LBA_EXPORT int lba_cuda_allocate(int64_t bytes, void** out);
LBA_EXPORT int lba_cuda_free(void* memory);
LBA_EXPORT int lba_cuda_copy(void* to, const void* from, int64_t bytes, void* stream);
LBA_EXPORT int lba_cuda_synchronize(void* stream);

/* y[i..., row, column] = alpha * dot + beta * c[row, column] for every index i of the batch dimensions, as Gemm defines
   it: alpha, beta and c in float32 after the dot product, one rounding to the type of y. Strides count elements; a
   stride of 0 broadcasts. y is contiguous. c may be null. With starts_from_c other than 0 sums start from beta * c,
   rounded to the accumulator, and nothing is done to them afterwards; alpha has to be 1. */
typedef struct LbaCudaMatMulArgs {
  int32_t type;       /* of a, b, c and y: LBA_FLOAT32, or LBA_FLOAT16, which is read and written only */
  int32_t batch_rank; /* at most LBA_CUDA_BATCH_RANK */
  int64_t batch[LBA_CUDA_BATCH_RANK];
  int64_t a_batch_strides[LBA_CUDA_BATCH_RANK];
  int64_t b_batch_strides[LBA_CUDA_BATCH_RANK];
  int64_t rows, columns, depth;
  const void* a;
  int64_t a_row_stride, a_depth_stride;
  const void* b;
  int64_t b_depth_stride, b_column_stride;
  float alpha, beta;
  const void* c;
  int64_t c_row_stride, c_column_stride;
  void* y;
  int32_t starts_from_c;
} LbaCudaMatMulArgs;

/* Convolution as LbaConvArgs describes it; with starts_from_bias other than 0 sums start from the bias, rounded to the
   accumulator, and it is not added afterwards. */
typedef struct LbaCudaConvArgs {
  int32_t type; /* of x, w, bias and y */
  int32_t rank;
  int64_t batch, in_channels, out_channels, groups;
  int64_t input[3], kernel[3], strides[3], dilations[3], pads_begin[3], pads_end[3];
  const void* x;
  const void* w;
  const void* bias;
  void* y;
  int32_t starts_from_bias;
} LbaCudaConvArgs;

/* A constant operand, packed for the device on which it was made: B of a product, or the weights of a convolution.
   Immutable; shared between concurrent calls. */
typedef struct LbaCudaWeights LbaCudaWeights;

/* `b` and `w` may be host or device pointers here; of a host operand the device keeps a copy. Only what describes the
   operand is read: type, depth, columns, the batch and strides of b; channels, groups, kernel and w. Waits. */
LBA_EXPORT int lba_cuda_pack_matmul(const LbaAccumulator* accumulator, const LbaCudaMatMulArgs* args,
                                    LbaCudaWeights** out);
LBA_EXPORT int lba_cuda_pack_conv(const LbaAccumulator* accumulator, const LbaCudaConvArgs* args, LbaCudaWeights** out);
LBA_EXPORT void lba_cuda_release(LbaCudaWeights* weights); /* null is allowed; waits for the device */

/* Bytes of scratch memory, aligned to 256 bytes, that the call needs. `weights` may be null. */
LBA_EXPORT int lba_cuda_matmul_workspace(const LbaAccumulator* accumulator, const LbaCudaMatMulArgs* args,
                                         const LbaCudaWeights* weights, int64_t* bytes);
LBA_EXPORT int lba_cuda_conv_workspace(const LbaAccumulator* accumulator, const LbaCudaConvArgs* args,
                                       const LbaCudaWeights* weights, int64_t* bytes);

/* `weights` may be null; then B (w) is packed for this call. args->b (args->w) is needed either way, except with
   weights that were packed from host memory: there it is ignored. */
LBA_EXPORT int lba_cuda_matmul(const LbaAccumulator* accumulator, const LbaCudaMatMulArgs* args,
                               const LbaCudaWeights* weights, void* workspace, int64_t workspace_bytes, void* stream);
LBA_EXPORT int lba_cuda_conv(const LbaAccumulator* accumulator, const LbaCudaConvArgs* args,
                             const LbaCudaWeights* weights, void* workspace, int64_t workspace_bytes, void* stream);

/* The same on host memory, strides not negative: copies the operands (but not one that is packed) through pinned memory
   to the device of the weights, or without weights to the current one, computes, copies y back, and waits. Calls from
   several threads run side by side. */
LBA_EXPORT int lba_cuda_matmul_host(const LbaAccumulator* accumulator, const LbaCudaMatMulArgs* args,
                                    const LbaCudaWeights* weights);
LBA_EXPORT int lba_cuda_conv_host(const LbaAccumulator* accumulator, const LbaCudaConvArgs* args,
                                  const LbaCudaWeights* weights);

/* What lba_statistics_read tells of one call, counted on the device: the `call`-th of a node (it decides which
   positions are sampled). y, alpha, beta, c and bias are not read; sums that start from c or the bias are refused.
   `out` is host memory, with room as for lba_statistics_read. Waits. */
LBA_EXPORT int lba_cuda_matmul_statistics(const LbaAccumulator* accumulator, const LbaCudaMatMulArgs* args,
                                          int64_t call, double sampled_fraction, LbaStatistics* out, void* stream);
LBA_EXPORT int lba_cuda_conv_statistics(const LbaAccumulator* accumulator, const LbaCudaConvArgs* args, int64_t call,
                                        double sampled_fraction, LbaStatistics* out, void* stream);

/* How many tiles each kernel has computed on the current device since the process started, in the order of
   LBA_CUDA_KERNELS. Waits for the device. */
#define LBA_CUDA_KERNEL_COUNT 7
#define LBA_CUDA_KERNELS \
  "fused", "fused_saturate", "exact_products", "truncate", "truncate_saturate", "saturate", "exact"
LBA_EXPORT int lba_cuda_kernel_counts(int64_t counts[LBA_CUDA_KERNEL_COUNT]);

#ifdef __cplusplus
}
#endif

#endif /* LBA_CUDA_API_H_ */
