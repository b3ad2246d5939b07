#include "onnxruntime/cuda_library.h"

#include <dlfcn.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>

namespace lba::ort {
namespace {

constexpr char kFileName[] = "liblba_ops_cuda.so";
constexpr char kPathVariable[] = "LBA_ONNX_CUDA_LIBRARY";

std::string FolderOfThisLibrary() {
  Dl_info here{};
  if (dladdr(reinterpret_cast<const void*>(&OpenCudaLibrary), &here) == 0 || here.dli_fname == nullptr) return "";
  const std::string path = here.dli_fname;
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

std::string LibraryPath() {
  const char* path = std::getenv(kPathVariable);
  return path != nullptr && *path != '\0' ? path : FolderOfThisLibrary() + kFileName;
}

[[noreturn]] void Fail(const std::string& reason) {
  throw std::runtime_error("CUDA needs the library lba_ops_cuda: " + reason +
                           "; build it with -C cmake.define.LBA_CUDA=ON, or set " + kPathVariable + " to its path");
}

template <typename Function>
void Find(void* handle, const std::string& path, const char* name, Function* out) {
  void* symbol = dlsym(handle, name);
  if (symbol == nullptr) Fail(path + ": expected a function " + name + ", got none");
  *out = reinterpret_cast<Function>(symbol);
}

CudaLibrary Load(const std::string& path) {
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) Fail(dlerror());
  CudaLibrary cuda;
  Find(handle, path, "lba_cuda_version", &cuda.version);
  const std::string version = cuda.version();
  if (version != LBA_VERSION) Fail(path + ": expected version " LBA_VERSION ", got " + version);
#define LBA_CUDA_FIND(name) Find(handle, path, "lba_cuda_" #name, &cuda.name);
  LBA_CUDA_FUNCTIONS(LBA_CUDA_FIND)
#undef LBA_CUDA_FIND
  return cuda;
}

CudaWeights Owned(const CudaLibrary& cuda, LbaCudaWeights* weights) {
  return CudaWeights(weights,
                     [&cuda](const LbaCudaWeights* owned) { cuda.release(const_cast<LbaCudaWeights*>(owned)); });
}

}  // namespace

void CudaLibrary::Check(int code) const {
  if (code == LBA_OK) return;
  const std::string reason = last_error();
  if (code == LBA_INVALID_ARGUMENT) throw std::invalid_argument(reason);
  if (code == LBA_OUT_OF_MEMORY) throw std::bad_alloc();
  throw std::runtime_error(reason);
}

const CudaLibrary& OpenCudaLibrary() {
  static auto* mutex = new std::mutex;
  static auto* libraries = new std::map<std::string, CudaLibrary>;  // by path; kernels hold on to them
  const std::string path = LibraryPath();
  const std::lock_guard<std::mutex> lock(*mutex);
  auto found = libraries->find(path);
  if (found == libraries->end()) found = libraries->emplace(path, Load(path)).first;
  return found->second;
}

CudaAccumulator MakeCudaAccumulator(const CudaLibrary& cuda, const std::string& text) {
  LbaAccumulator* accumulator = nullptr;
  cuda.Check(cuda.accumulator_create(text.c_str(), &accumulator));
  return CudaAccumulator(accumulator, [&cuda](const LbaAccumulator* owned) {
    cuda.accumulator_release(const_cast<LbaAccumulator*>(owned));
  });
}

CudaWeights PackOnCuda(const CudaLibrary& cuda, const LbaAccumulator& accumulator, const LbaCudaMatMulArgs& args) {
  LbaCudaWeights* weights = nullptr;
  cuda.Check(cuda.pack_matmul(&accumulator, &args, &weights));
  return Owned(cuda, weights);
}

CudaWeights PackOnCuda(const CudaLibrary& cuda, const LbaAccumulator& accumulator, const LbaCudaConvArgs& args) {
  LbaCudaWeights* weights = nullptr;
  cuda.Check(cuda.pack_conv(&accumulator, &args, &weights));
  return Owned(cuda, weights);
}

}  // namespace lba::ort
