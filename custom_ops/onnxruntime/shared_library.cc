#include "onnxruntime/shared_library.h"

#if defined(_WIN32)
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#include <stdexcept>

namespace lba::ort {
namespace {

std::string FolderOf(const std::string& path) {
  const size_t slash = path.find_last_of("/\\");
  return slash == std::string::npos ? "" : path.substr(0, slash + 1);
}

#if defined(_WIN32)

HMODULE ThisLibrary(DWORD how) {
  HMODULE module = nullptr;
  const auto here = reinterpret_cast<LPCSTR>(&FolderOfThisLibrary);
  return GetModuleHandleExA(GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | how, here, &module) ? module : nullptr;
}

}  // namespace

std::string FolderOfThisLibrary() {
  const HMODULE module = ThisLibrary(GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT);
  char path[MAX_PATH];
  return module == nullptr ? "" : FolderOf(std::string(path, GetModuleFileNameA(module, path, MAX_PATH)));
}

void KeepThisLibrary() { ThisLibrary(GET_MODULE_HANDLE_EX_FLAG_PIN); }

void* OpenLibrary(const std::string& path) {
  const HMODULE library = LoadLibraryA(path.c_str());
  if (library == nullptr) throw std::runtime_error(path + ": Windows error " + std::to_string(GetLastError()));
  return reinterpret_cast<void*>(library);
}

void* FindFunction(void* library, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(reinterpret_cast<HMODULE>(library), name));
}

#else

std::string PathOfThisLibrary() {
  Dl_info here{};
  const bool is_found = dladdr(reinterpret_cast<const void*>(&FolderOfThisLibrary), &here) != 0;
  return is_found && here.dli_fname != nullptr ? here.dli_fname : "";
}

}  // namespace

std::string FolderOfThisLibrary() { return FolderOf(PathOfThisLibrary()); }

void KeepThisLibrary() { dlopen(PathOfThisLibrary().c_str(), RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE); }

void* OpenLibrary(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  return library;
}

void* FindFunction(void* library, const char* name) { return dlsym(library, name); }

#endif

}  // namespace lba::ort
