// Libraries that are opened while the program runs, on the systems that have their own functions for it.
#ifndef LBA_ONNXRUNTIME_SHARED_LIBRARY_H_
#define LBA_ONNXRUNTIME_SHARED_LIBRARY_H_

#include <string>

namespace lba::ort {

// The folder of the library that this function is in, with the separator behind it; empty where it is not known.
std::string FolderOfThisLibrary();

// Keeps the library that this function is in until the process ends.
void KeepThisLibrary();

// Opens a library for good. Throws std::runtime_error with the system's reason.
void* OpenLibrary(const std::string& path);

// The address of a function; null where the library has none of that name.
void* FindFunction(void* library, const char* name);

}  // namespace lba::ort

#endif  // LBA_ONNXRUNTIME_SHARED_LIBRARY_H_
