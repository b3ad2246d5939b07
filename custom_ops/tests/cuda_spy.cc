// A library lba_ops_cuda that counts calls and hands them on to the one named in the environment variable
// LBA_CUDA_SPY_TARGET. It has no device where LBA_CUDA_SPY_HIDES_DEVICES is set, and the version that
// LBA_CUDA_SPY_VERSION names, where that is set.
#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>

#include "lba/cuda_api.h"

namespace {

std::mutex mutex;
std::map<std::string, int64_t> calls;

void Count(const std::string& name) {
  const std::lock_guard<std::mutex> lock(mutex);
  ++calls[name];
}

template <typename Function>
Function Target(const char* name, Function) {
  static void* target = dlopen(std::getenv("LBA_CUDA_SPY_TARGET"), RTLD_NOW | RTLD_LOCAL);
  return reinterpret_cast<Function>(dlsym(target, name));
}

}  // namespace

#define FORWARD(result, name, parameters, ...) \
  extern "C" result name parameters {          \
    Count(#name);                              \
    return Target(#name, &name)(__VA_ARGS__);  \
  }
// A product with (packed) weights counts by a name of its own too.
#define FORWARD_PRODUCT(name, parameters, ...)            \
  extern "C" int name parameters {                        \
    Count(#name);                                         \
    if (weights != nullptr) Count(#name " with weights"); \
    return Target(#name, &name)(__VA_ARGS__);             \
  }

using Weights = LbaCudaWeights;
using Accumulator = LbaAccumulator;

FORWARD(const char*, lba_cuda_last_error, (void), )
FORWARD(int, lba_cuda_accumulator_create, (const char* text, Accumulator** out), text, out)
FORWARD(void, lba_cuda_accumulator_release, (Accumulator * accumulator), accumulator)
FORWARD(int, lba_cuda_allocate, (int64_t bytes, void** out), bytes, out)
FORWARD(int, lba_cuda_free, (void* memory), memory)
FORWARD(int, lba_cuda_copy, (void* to, const void* from, int64_t bytes, void* stream), to, from, bytes, stream)
FORWARD(int, lba_cuda_synchronize, (void* stream), stream)
FORWARD(int, lba_cuda_pack_matmul, (const Accumulator* accumulator, const LbaCudaMatMulArgs* args, Weights** out),
        accumulator, args, out)
FORWARD(int, lba_cuda_pack_conv, (const Accumulator* accumulator, const LbaCudaConvArgs* args, Weights** out),
        accumulator, args, out)
FORWARD(void, lba_cuda_release, (Weights * weights), weights)
FORWARD(int, lba_cuda_matmul_workspace,
        (const Accumulator* accumulator, const LbaCudaMatMulArgs* args, const Weights* weights, int64_t* bytes),
        accumulator, args, weights, bytes)
FORWARD(int, lba_cuda_conv_workspace,
        (const Accumulator* accumulator, const LbaCudaConvArgs* args, const Weights* weights, int64_t* bytes),
        accumulator, args, weights, bytes)
FORWARD_PRODUCT(lba_cuda_matmul,
                (const Accumulator* accumulator, const LbaCudaMatMulArgs* args, const Weights* weights, void* workspace,
                 int64_t bytes, void* stream),
                accumulator, args, weights, workspace, bytes, stream)
FORWARD_PRODUCT(lba_cuda_conv,
                (const Accumulator* accumulator, const LbaCudaConvArgs* args, const Weights* weights, void* workspace,
                 int64_t bytes, void* stream),
                accumulator, args, weights, workspace, bytes, stream)
FORWARD_PRODUCT(lba_cuda_matmul_host,
                (const Accumulator* accumulator, const LbaCudaMatMulArgs* args, const Weights* weights), accumulator,
                args, weights)
FORWARD_PRODUCT(lba_cuda_conv_host,
                (const Accumulator* accumulator, const LbaCudaConvArgs* args, const Weights* weights), accumulator,
                args, weights)
FORWARD(int, lba_cuda_matmul_statistics,
        (const Accumulator* accumulator, const LbaCudaMatMulArgs* args, int64_t call, double fraction,
         LbaStatistics* out, void* stream),
        accumulator, args, call, fraction, out, stream)
FORWARD(int, lba_cuda_conv_statistics,
        (const Accumulator* accumulator, const LbaCudaConvArgs* args, int64_t call, double fraction, LbaStatistics* out,
         void* stream),
        accumulator, args, call, fraction, out, stream)

extern "C" const char* lba_cuda_version(void) {
  const char* version = std::getenv("LBA_CUDA_SPY_VERSION");
  return version != nullptr ? version : Target("lba_cuda_version", &lba_cuda_version)();
}

extern "C" int lba_cuda_device_count(int32_t* count) {
  Count("lba_cuda_device_count");
  if (std::getenv("LBA_CUDA_SPY_HIDES_DEVICES") == nullptr) {
    return Target("lba_cuda_device_count", &lba_cuda_device_count)(count);
  }
  *count = 0;
  return LBA_OK;
}

// How often the function, or "<product> with weights", was called so far.
extern "C" LBA_EXPORT int64_t lba_cuda_spy_calls(const char* name) {
  const std::lock_guard<std::mutex> lock(mutex);
  return calls[name];
}
