// Names of accumulators that people know, short for the text of one: docs/numerics.md, "Named accumulators".
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_NAMED_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_NAMED_H_

#include <string>

namespace lba {

// What a name stands for, such as "M10E5b15,chunk=none,round=nearest,..." for "fp16-fma"; "" for what is none.
std::string TextOfName(const std::string& name);

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_NAMED_H_
