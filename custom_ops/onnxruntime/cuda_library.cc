#include "onnxruntime/cuda_library.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <stdexcept>
#include <string>

#include "onnxruntime/shared_library.h"

namespace lba::ort {
namespace {

#if defined(_WIN32)
constexpr char kFileName[] = "liblba_ops_cuda.dll";
#else
constexpr char kFileName[] = "liblba_ops_cuda.so";
#endif
constexpr char kFolderOfPackage[] = "../lba_onnx_cuda/";
constexpr char kPathVariable[] = "LBA_ONNX_CUDA_LIBRARY";

// By C's functions: those of <fstream> would bring all of C++'s streams and locales into a release's library.
bool IsFile(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  return file != nullptr && std::fclose(file) == 0;
}

std::string LibraryPath() {
  const char* named = std::getenv(kPathVariable);
  if (named != nullptr && *named != '\0') return named;
  const std::string beside = FolderOfThisLibrary() + kFileName;
  const std::string of_package = FolderOfThisLibrary() + kFolderOfPackage + kFileName;
  return !IsFile(beside) && IsFile(of_package) ? of_package : beside;
}

[[noreturn]] void Fail(const std::string& reason) {
  throw std::runtime_error("CUDA needs the library lba_ops_cuda: " + reason +
                           "; install lba-onnx-cuda, build it with -C cmake.define.LBA_CUDA=ON, or set " +
                           kPathVariable + " to its path");
}

template <typename Function>
void Find(void* handle, const std::string& path, const char* name, Function* out) {
  void* symbol = FindFunction(handle, name);
  if (symbol == nullptr) Fail(path + ": expected a function " + name + ", got none");
  *out = reinterpret_cast<Function>(symbol);
}

void* Open(const std::string& path) {
  try {
    return OpenLibrary(path);
  } catch (const std::runtime_error& error) {
    Fail(error.what());
  }
}

CudaLibrary Load(const std::string& path) {
  void* handle = Open(path);
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
