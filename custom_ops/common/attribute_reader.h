// The attributes of a node, by name.
#ifndef LBA_COMMON_ATTRIBUTE_READER_H_
#define LBA_COMMON_ATTRIBUTE_READER_H_

#include <cstdint>
#include <string>
#include <vector>

namespace lba {

// Each function returns false, and leaves `out` alone, when the node has no attribute of that name.
class AttributeReader {
 public:
  virtual ~AttributeReader() = default;
  virtual bool Read(const char* name, int64_t* out) const = 0;
  virtual bool Read(const char* name, float* out) const = 0;
  virtual bool Read(const char* name, std::string* out) const = 0;
  virtual bool Read(const char* name, std::vector<int64_t>* out) const = 0;
};

}  // namespace lba

#endif  // LBA_COMMON_ATTRIBUTE_READER_H_
