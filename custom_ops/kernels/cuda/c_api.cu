#include <algorithm>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>

#include "common/arguments.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/host_products.h"
#include "kernels/cuda/kernels.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/problems.h"
#include "lba/cuda_api.h"

namespace {

using lba::Require;
using lba::RequirePointer;
using lba::cuda::Check;

thread_local std::string last_error;

template <class Body>
int Guarded(const Body& body) {
  bool cuda_failed = false;
  const int code = lba::Guarded(&last_error, [&] {
    try {
      body();
    } catch (const lba::cuda::CudaError&) {
      cuda_failed = true;
      throw;
    }
  });
  return cuda_failed ? LBA_CUDA_FAILED : code;
}

cudaStream_t StreamOf(void* stream) { return static_cast<cudaStream_t>(stream); }

void RequireWorkspace(const void* workspace, int64_t bytes, int64_t needed) {
  Require(bytes >= needed,
          "expected scratch memory of " + std::to_string(needed) + " bytes, got " + std::to_string(bytes));
  Require(needed == 0 || workspace != nullptr, "expected scratch memory, got null");
  Require(reinterpret_cast<uintptr_t>(workspace) % 256 == 0, "expected scratch memory aligned to 256 bytes");
}

// The fixed operand of a call: packed weights that fit, which may bring the values themselves; or the caller's.
const lba::cuda::PackedOperand* UseWeights(const LbaCudaWeights* weights, const lba::Accumulator& accumulator,
                                           lba::cuda::MatrixSource* source) {
  if (weights == nullptr) return nullptr;
  RequireWeightsOf(*weights, accumulator, *source);
  if (weights->owns_values()) *source = weights->source;
  return &weights->packed;
}

// B alone is no product yet: here it is, with A of one row.
LbaCudaMatMulArgs WithSmallestRows(LbaCudaMatMulArgs args) {
  args.rows = 1;
  args.a_row_stride = args.a_depth_stride = 0;
  std::fill(std::begin(args.a_batch_strides), std::end(args.a_batch_strides), int64_t{0});
  args.c = nullptr;
  return args;
}

// Filters alone are no convolution yet: here they are, on an input of their own size.
LbaCudaConvArgs OnSmallestInput(LbaCudaConvArgs args) {
  args.batch = 1;
  for (int i = 0; i < 3; ++i) {
    args.input[i] = args.kernel[i];
    args.strides[i] = args.dilations[i] = 1;
    args.pads_begin[i] = args.pads_end[i] = 0;
  }
  return args;
}

// Calls count up from 0; the matrices of a batch are sampled as further ones.
void RequireSampling(int64_t call, double sampled_fraction) {
  Require(call >= 0 && call < int64_t{1} << 62, "expected a call from 0 to 2^62 - 1, got " + std::to_string(call));
  Require(sampled_fraction > 0 && sampled_fraction <= 1, "expected a sampled fraction in (0, 1]");
}

void RequireCounted(const lba::cuda::Output& output) {
  Require(!output.starts,
          "expected no statistics of sums that start from values on a CUDA device: they are counted on the CPU");
}

int64_t OutputsOf(const lba::ConvShape& shape) { return shape.batch * shape.out_channels * shape.output_size(); }

}  // namespace

extern "C" {

const char* lba_cuda_version(void) { return LBA_VERSION; }

const char* lba_cuda_last_error(void) { return last_error.c_str(); }

int lba_cuda_accumulator_create(const char* text, LbaAccumulator** out) {
  return Guarded([&] {
    LbaAccumulator* made = nullptr;
    lba::CreateAccumulator(text, out == nullptr ? nullptr : &made);
    std::unique_ptr<LbaAccumulator> owned(made);
    lba::cuda::RequireOnCuda(*made->accumulator);
    *out = owned.release();
  });
}

void lba_cuda_accumulator_release(LbaAccumulator* accumulator) { delete accumulator; }

int lba_cuda_device_count(int32_t* count) {
  return Guarded([&] {
    Require(count != nullptr, "expected a place for the count, got null");
    int found = 0;
    const cudaError_t error = cudaGetDeviceCount(&found);
    const bool has_none = error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver;
    if (has_none) {
      cudaGetLastError();  // clears it
      found = 0;
    } else {
      Check(error, "counting devices");
    }
    *count = found;
  });
}

int lba_cuda_device(int32_t index, LbaCudaDevice* out) {
  return Guarded([&] {
    Require(out != nullptr, "expected a place for the device, got null");
    cudaDeviceProp properties;
    Check(cudaGetDeviceProperties(&properties, index), "asking for a device");
    *out = {};
    std::snprintf(out->name, sizeof out->name, "%s", properties.name);
    out->compute_major = properties.major;
    out->compute_minor = properties.minor;
    out->multiprocessors = properties.multiProcessorCount;
    out->memory_bytes = static_cast<int64_t>(properties.totalGlobalMem);
    int version = 0;
    Check(cudaDriverGetVersion(&version), "asking for the driver's version");
    out->driver_version = version;
    Check(cudaRuntimeGetVersion(&version), "asking for the runtime's version");
    out->runtime_version = version;
  });
}

int lba_cuda_allocate(int64_t bytes, void** out) {
  return Guarded([&] {
    Require(bytes >= 0 && out != nullptr, "expected a size of 0 or more and a place for the memory");
    *out = nullptr;
    if (bytes > 0) Check(cudaMalloc(out, static_cast<size_t>(bytes)), "allocating memory");
  });
}

int lba_cuda_free(void* memory) {
  return Guarded([&] { Check(cudaFree(memory), "freeing memory"); });
}

int lba_cuda_copy(void* to, const void* from, int64_t bytes, void* stream) {
  return Guarded([&] {
    Require(bytes >= 0, "expected a size of 0 or more, got " + std::to_string(bytes));
    if (bytes == 0) return;
    Require(to != nullptr && from != nullptr, "expected memory to copy from and to, got null");
    const auto size = static_cast<size_t>(bytes);
    Check(cudaMemcpyAsync(to, from, size, cudaMemcpyDefault, StreamOf(stream)), "copying memory");
  });
}

int lba_cuda_synchronize(void* stream) {
  return Guarded([&] { Check(cudaStreamSynchronize(StreamOf(stream)), "waiting for a stream"); });
}

int lba_cuda_pack_matmul(const LbaAccumulator* accumulator, const LbaCudaMatMulArgs* args, LbaCudaWeights** out) {
  return Guarded([&] {
    Require(out != nullptr && args != nullptr, "expected arguments and a place for the weights, got null");
    const LbaCudaMatMulArgs smallest = WithSmallestRows(*args);
    const lba::cuda::MatMulProblem problem = lba::cuda::MatMulProblemOf(accumulator, &smallest);
    if (!problem.columns.is_empty()) RequirePointer(args->b, "b");
    *out = lba::cuda::MakeWeights(*problem.accumulator, problem.columns);
  });
}

int lba_cuda_pack_conv(const LbaAccumulator* accumulator, const LbaCudaConvArgs* args, LbaCudaWeights** out) {
  return Guarded([&] {
    Require(out != nullptr && args != nullptr, "expected arguments and a place for the weights, got null");
    const LbaCudaConvArgs smallest = OnSmallestInput(*args);
    const lba::cuda::ConvProblem problem = lba::cuda::ConvProblemOf(accumulator, &smallest);
    if (!problem.weights.is_empty()) RequirePointer(args->w, "w");
    *out = lba::cuda::MakeWeights(*problem.accumulator, problem.weights);
  });
}

void lba_cuda_release(LbaCudaWeights* weights) { delete weights; }

int lba_cuda_matmul_workspace(const LbaAccumulator* accumulator, const LbaCudaMatMulArgs* args,
                              const LbaCudaWeights* weights, int64_t* bytes) {
  return Guarded([&] {
    Require(bytes != nullptr, "expected a place for the size, got null");
    const lba::cuda::MatMulProblem problem = lba::cuda::MatMulProblemOf(accumulator, args);
    *bytes = problem.accumulator->OnCuda()->WorkspaceBytes(problem, weights != nullptr);
  });
}

int lba_cuda_conv_workspace(const LbaAccumulator* accumulator, const LbaCudaConvArgs* args,
                            const LbaCudaWeights* weights, int64_t* bytes) {
  return Guarded([&] {
    Require(bytes != nullptr, "expected a place for the size, got null");
    const lba::cuda::ConvProblem problem = lba::cuda::ConvProblemOf(accumulator, args);
    *bytes = problem.accumulator->OnCuda()->WorkspaceBytes(problem, weights != nullptr);
  });
}

int lba_cuda_matmul(const LbaAccumulator* accumulator, const LbaCudaMatMulArgs* args, const LbaCudaWeights* weights,
                    void* workspace, int64_t workspace_bytes, void* stream) {
  return Guarded([&] {
    lba::cuda::MatMulProblem problem = lba::cuda::MatMulProblemOf(accumulator, args);
    if (problem.outputs() == 0) return;
    const lba::cuda::PackedOperand* packed = UseWeights(weights, *problem.accumulator, &problem.columns);
    if (problem.depth() > 0) RequirePointer(args->a, "a");
    if (problem.depth() > 0) RequirePointer(problem.columns.values.data, "b");
    RequirePointer(args->y, "y");
    const lba::cuda::Kernels& kernels = *problem.accumulator->OnCuda();
    RequireWorkspace(workspace, workspace_bytes, kernels.WorkspaceBytes(problem, packed != nullptr));
    kernels.MatMul(problem, packed, workspace, StreamOf(stream));
  });
}

int lba_cuda_conv(const LbaAccumulator* accumulator, const LbaCudaConvArgs* args, const LbaCudaWeights* weights,
                  void* workspace, int64_t workspace_bytes, void* stream) {
  return Guarded([&] {
    lba::cuda::ConvProblem problem = lba::cuda::ConvProblemOf(accumulator, args);
    if (OutputsOf(problem.shape) == 0) return;
    const lba::cuda::PackedOperand* packed = UseWeights(weights, *problem.accumulator, &problem.weights);
    if (problem.shape.depth() > 0) RequirePointer(args->x, "x");
    if (problem.shape.depth() > 0) RequirePointer(problem.weights.values.data, "w");
    RequirePointer(args->y, "y");
    const lba::cuda::Kernels& kernels = *problem.accumulator->OnCuda();
    RequireWorkspace(workspace, workspace_bytes, kernels.WorkspaceBytes(problem, packed != nullptr));
    kernels.Conv(problem, packed, workspace, StreamOf(stream));
  });
}

int lba_cuda_matmul_host(const LbaAccumulator* accumulator, const LbaCudaMatMulArgs* args,
                         const LbaCudaWeights* weights) {
  return Guarded([&] {
    lba::cuda::MatMulProblem problem = lba::cuda::MatMulProblemOf(accumulator, args);
    if (problem.outputs() == 0) return;
    if (weights != nullptr) RequireWeightsOf(*weights, *problem.accumulator, problem.columns);
    if (problem.depth() > 0) RequirePointer(args->a, "a");
    if (weights == nullptr && problem.depth() > 0) RequirePointer(args->b, "b");
    RequirePointer(args->y, "y");
    RunHostMatMul(problem, weights);
  });
}

int lba_cuda_conv_host(const LbaAccumulator* accumulator, const LbaCudaConvArgs* args, const LbaCudaWeights* weights) {
  return Guarded([&] {
    lba::cuda::ConvProblem problem = lba::cuda::ConvProblemOf(accumulator, args);
    if (OutputsOf(problem.shape) == 0) return;
    if (weights != nullptr) RequireWeightsOf(*weights, *problem.accumulator, problem.weights);
    if (problem.shape.depth() > 0) RequirePointer(args->x, "x");
    if (weights == nullptr && problem.shape.depth() > 0) RequirePointer(args->w, "w");
    RequirePointer(args->y, "y");
    RunHostConv(problem, weights);
  });
}

int lba_cuda_matmul_statistics(const LbaAccumulator* accumulator, const LbaCudaMatMulArgs* args, int64_t call,
                               double sampled_fraction, LbaStatistics* out, void* stream) {
  return Guarded([&] {
    RequireSampling(call, sampled_fraction);
    const lba::cuda::MatMulProblem problem = lba::cuda::MatMulProblemOf(accumulator, args);
    RequireCounted(problem.output);
    if (problem.outputs() > 0 && problem.depth() > 0) RequirePointer(args->a, "a");
    if (problem.outputs() > 0 && problem.depth() > 0) RequirePointer(args->b, "b");
    problem.accumulator->OnCuda()->CountMatMul(*args, call, sampled_fraction, StreamOf(stream)).Fill(out);
  });
}

int lba_cuda_conv_statistics(const LbaAccumulator* accumulator, const LbaCudaConvArgs* args, int64_t call,
                             double sampled_fraction, LbaStatistics* out, void* stream) {
  return Guarded([&] {
    RequireSampling(call, sampled_fraction);
    const lba::cuda::ConvProblem problem = lba::cuda::ConvProblemOf(accumulator, args);
    RequireCounted(problem.output);
    if (OutputsOf(problem.shape) > 0 && problem.shape.depth() > 0) RequirePointer(args->x, "x");
    if (OutputsOf(problem.shape) > 0 && problem.shape.depth() > 0) RequirePointer(args->w, "w");
    problem.accumulator->OnCuda()
        ->CountConv(problem.shape, problem.x, problem.weights.values, call, sampled_fraction, StreamOf(stream))
        .Fill(out);
  });
}

int lba_cuda_kernel_counts(int64_t counts[LBA_CUDA_KERNEL_COUNT]) {
  return Guarded([&] {
    Require(counts != nullptr, "expected a place for the counts, got null");
    static_assert(sizeof(unsigned long long) == sizeof(int64_t), "counters are copied as they are");
    Check(cudaDeviceSynchronize(), "waiting for the device");  // the counting kernels may be on any stream
    constexpr size_t kBytes = LBA_CUDA_KERNEL_COUNT * sizeof(int64_t);
    Check(cudaMemcpyAsync(counts, lba::cuda::KernelCounters(), kBytes, cudaMemcpyDefault, nullptr), "reading counters");
    Check(cudaStreamSynchronize(nullptr), "reading counters");
  });
}

}  // extern "C"
