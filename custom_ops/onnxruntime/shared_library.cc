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

}  // namespace

#if defined(_WIN32)

std::string FolderOfThisLibrary() {
  HMODULE module = nullptr;
  constexpr DWORD kFlags = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
  if (!GetModuleHandleExA(kFlags, reinterpret_cast<LPCSTR>(&FolderOfThisLibrary), &module)) return "";
  char path[MAX_PATH];
  return FolderOf(std::string(path, GetModuleFileNameA(module, path, MAX_PATH)));
}

void* OpenLibrary(const std::string& path) {
  const HMODULE library = LoadLibraryA(path.c_str());
  if (library == nullptr) throw std::runtime_error(path + ": Windows error " + std::to_string(GetLastError()));
  return reinterpret_cast<void*>(library);
}

void* FindFunction(void* library, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(reinterpret_cast<HMODULE>(library), name));
}

#else

std::string FolderOfThisLibrary() {
  Dl_info here{};
  const bool is_found = dladdr(reinterpret_cast<const void*>(&FolderOfThisLibrary), &here) != 0;
  return is_found && here.dli_fname != nullptr ? FolderOf(here.dli_fname) : "";
}

void* OpenLibrary(const std::string& path) {
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw std::runtime_error(dlerror());
  return library;
}

void* FindFunction(void* library, const char* name) { return dlsym(library, name); }

#endif

}  // namespace lba::ort
