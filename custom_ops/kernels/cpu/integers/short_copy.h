// Copies of few bytes, in place of calls that take longer than the copy.
#ifndef LBA_KERNELS_CPU_INTEGERS_SHORT_COPY_H_
#define LBA_KERNELS_CPU_INTEGERS_SHORT_COPY_H_

#include <cstdint>
#include <cstring>

namespace lba {

// The last part overlaps the one before, so that it too is whole.
template <int kPart>
inline void CopyParts(const char* from, int64_t bytes, char* to) {
  for (int64_t done = 0; done + kPart < bytes; done += kPart) std::memcpy(to + done, from + done, kPart);
  std::memcpy(to + bytes - kPart, from + bytes - kPart, kPart);
}

inline void CopyShort(const void* from, int64_t bytes, void* to) {
  const char* source = static_cast<const char*>(from);
  char* target = static_cast<char*>(to);
  if (bytes >= 16) return CopyParts<16>(source, bytes, target);
  if (bytes >= 4) return CopyParts<4>(source, bytes, target);
  for (int64_t i = 0; i < bytes; ++i) target[i] = source[i];
}

}  // namespace lba

#endif  // LBA_KERNELS_CPU_INTEGERS_SHORT_COPY_H_
