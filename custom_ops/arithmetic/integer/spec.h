// Integers that wrap or saturate: "int18-saturate", "int12x64/int20-wrap", "x86-u8s8", "arm-smlal16", "fixed<16,20>".
#ifndef LBA_ARITHMETIC_INTEGER_SPEC_H_
#define LBA_ARITHMETIC_INTEGER_SPEC_H_

#include <string>

#include "arithmetic/accumulator.h"
#include "common/integer_sums.h"

namespace lba {

// What a text says.
struct IntegerSpec {
  std::string head;  // as it is written back, without options
  IntegerSums sums;
  bool is_fixed = false;
  bool has_operands = true;  // whether the option operands= goes with it
};

bool IsInteger(const std::string& text);

// Throws std::invalid_argument, with the character at fault, for a text that is none.
IntegerSpec ParseInteger(const std::string& text);

std::string TextOf(const IntegerSpec& spec);

}  // namespace lba

#endif  // LBA_ARITHMETIC_INTEGER_SPEC_H_
