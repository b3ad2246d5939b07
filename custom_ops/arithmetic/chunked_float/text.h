// The text of a chunked float accumulator: "M7E4b12/M7E4b10,chunk=32,underflow=off,round=nearest".
#ifndef LBA_ARITHMETIC_CHUNKED_FLOAT_TEXT_H_
#define LBA_ARITHMETIC_CHUNKED_FLOAT_TEXT_H_

#include <string>

#include "lba/format.h"

namespace lba {

// Reads one format, the accumulator's, with a product of the same bits whose bias lies floor(log2(chunk) / 2) above; or
// product/accumulator; then options in any order, each at most once. Throws std::invalid_argument with the character at
// fault.
AccumulatorSpec ParseSpec(const std::string& text);

// What ParseSpec reads: both formats, then what is not the default.
std::string TextOf(const AccumulatorSpec& spec);

}  // namespace lba

#endif  // LBA_ARITHMETIC_CHUNKED_FLOAT_TEXT_H_
