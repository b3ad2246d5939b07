#include "arithmetic/text_parts.h"

#include <algorithm>
#include <stdexcept>

namespace lba {
namespace {

constexpr char kBlanks[] = " \t\n\r\f\v";

Part Trimmed(const std::string& piece, size_t start) {
  const size_t first = std::min(piece.find_first_not_of(kBlanks), piece.size());
  const size_t last = first == piece.size() ? first : piece.find_last_not_of(kBlanks) + 1;
  return {piece.substr(first, last - first), start + first};
}

// How many more brackets are open behind the character.
int Opened(char character) {
  if (character == '(' || character == '<') return 1;
  return character == ')' || character == '>' ? -1 : 0;
}

}  // namespace

std::vector<Part> Split(const Part& whole, char separator) {
  std::vector<Part> parts;
  int open = 0;
  size_t begin = 0;
  for (size_t end = 0; end <= whole.text.size(); ++end) {
    const bool is_end = end == whole.text.size();
    if (is_end || (whole.text[end] == separator && open <= 0)) {
      parts.push_back(Trimmed(whole.text.substr(begin, end - begin), whole.start + begin));
      begin = end + 1;
    }
    if (!is_end) open += Opened(whole.text[end]);
  }
  return parts;
}

bool BeginsWith(const std::string& text, const std::string& name) {
  return Split({text, 0}, ',').front().text.compare(0, name.size(), name) == 0;
}

void FailAt(const std::string& problem, const Part& part, const std::string& text) {
  throw std::invalid_argument(problem + ", at character " + std::to_string(part.start + 1) + " of the spec '" + text +
                              "'");
}

bool IsDigits(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace lba
