// The text of an accumulator, taken apart.
#ifndef LBA_ARITHMETIC_TEXT_PARTS_H_
#define LBA_ARITHMETIC_TEXT_PARTS_H_

#include <cstddef>
#include <string>
#include <vector>

namespace lba {

// A part of a text without blanks around it, and where it starts.
struct Part {
  std::string text;
  size_t start;
};

// What stands between separators outside parentheses and angle brackets.
std::vector<Part> Split(const Part& whole, char separator);

// Whether the first of the parts between commas begins with a name.
bool BeginsWith(const std::string& text, const std::string& name);

// Throws std::invalid_argument with the character at fault.
[[noreturn]] void FailAt(const std::string& problem, const Part& part, const std::string& text);

// Whether the text is not empty and all of decimal digits.
bool IsDigits(const std::string& text);

}  // namespace lba

#endif  // LBA_ARITHMETIC_TEXT_PARTS_H_
