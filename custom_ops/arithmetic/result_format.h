// A format, and how an exact value gets to it in one rounding: what an exact sum, or a sum of partial sums, ends in.
//   float32, float16, bfloat16       those of IEEE 754
//   M9E6b31                          saturates, and has no subnormals
//   round=, range=, subnormals=      behind it, where that is otherwise
#ifndef LBA_ARITHMETIC_RESULT_FORMAT_H_
#define LBA_ARITHMETIC_RESULT_FORMAT_H_

#include <string>
#include <vector>

#include "arithmetic/chunked_float/ruled_definition.h"
#include "arithmetic/chunked_float/spec.h"
#include "arithmetic/formats.h"
#include "arithmetic/text_parts.h"

namespace lba {

struct ResultFormat {
  FloatFormat format{23, 8, 127, true, true};  // float32
  Rounding rounding = Rounding::kNearest;

  bool is_float32() const { return rounding == Rounding::kNearest && format == ResultFormat().format; }
  // What rounds to it: the accumulator's format and rules. Nothing is drawn.
  RuledConstants constants() const;
  // "overflow", "underflow", and with subnormals "subnormal".
  std::vector<std::string> events() const;
};

// Throws std::invalid_argument for what is no format, and for other options; `further` is what errors expect besides.
ResultFormat ReadResultFormat(const Part& format, const std::vector<Part>& options, const std::string& text,
                              const std::string& further = "");

// The name, or the bits and the bias.
std::string HeadOf(const ResultFormat& result);
// What else is to be said, a comma before each option.
std::string OptionsOf(const ResultFormat& result);

}  // namespace lba

#endif  // LBA_ARITHMETIC_RESULT_FORMAT_H_
