// A library of operators for a CPU-only onnxruntime: those that the library in the environment variable
// LBA_OPS_LIBRARY registers for the CUDA provider, registered for the CPU one. Where device memory is the host's, as in
// the emulation, the CUDA provider's kernels then run without a device.
#include <dlfcn.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "lba/c_api.h"
#include "onnxruntime/ort_abi.h"

namespace {

using namespace lba::ort;  // NOLINT

using RegisterFunction = Status* (*)(SessionOptions*, const ApiBase*);

const ApiBase* real_base;

const char* CpuProvider(const CustomOp*) { return "CPUExecutionProvider"; }

Status* AddIfForCuda(CustomOpDomain* domain, const CustomOp* op) {
  const char* provider = op->GetExecutionProviderType(op);
  if (provider == nullptr || std::strcmp(provider, "CUDAExecutionProvider") != 0) return nullptr;
  const_cast<CustomOp*>(op)->GetExecutionProviderType = CpuProvider;
  return CustomOpDomain_Add(real_base->GetApi(kApiVersion), domain, op);
}

// onnxruntime's table with CustomOpDomain_Add replaced.
const Api* GetApi(uint32_t version) {
  static std::vector<void*> table;
  if (table.empty()) {
    const auto* real = reinterpret_cast<void* const*>(real_base->GetApi(version));
    table.assign(real, real + KernelContext_GetScratchBuffer.position + 1);
    table[CustomOpDomain_Add.position] = reinterpret_cast<void*>(AddIfForCuda);
  }
  return reinterpret_cast<const Api*>(table.data());
}

const char* GetVersionString() { return real_base->GetVersionString(); }

}  // namespace

extern "C" LBA_EXPORT Status* RegisterCustomOps(SessionOptions* options, const ApiBase* base) {
  static const ApiBase changed{GetApi, GetVersionString};
  real_base = base;
  void* library = dlopen(std::getenv("LBA_OPS_LIBRARY"), RTLD_NOW | RTLD_LOCAL);
  return reinterpret_cast<RegisterFunction>(dlsym(library, "RegisterCustomOps"))(options, &changed);
}
