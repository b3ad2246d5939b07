#include "arithmetic/integer/spec.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <vector>

#include "arithmetic/text_parts.h"

namespace lba {
namespace {

constexpr char kWrap[] = "wrap", kSaturate[] = "saturate", kX86[] = "x86-u8s8", kArm[] = "arm-smlal16";
constexpr int kLeastBits = 4, kMostBits = 64;
constexpr int64_t kMostTerms = 1 << 16;
constexpr char kExpected[] =
    "expected int<P>-wrap, int<P>-saturate, tiles of T products int<P>x<T>/int<Q>-wrap, fixed<W,I>, x86-u8s8 or "
    "arm-smlal16, with P, Q, W and I from 4 to 64 and T from 1 to 65536";

bool AreBits(int64_t bits) { return bits >= kLeastBits && bits <= kMostBits; }

// Takes a text apart from its beginning on.
class Reader {
 public:
  explicit Reader(const std::string& text) : text_(text) {}

  bool Take(const char* word) {
    const size_t length = std::strlen(word);
    if (text_.compare(at_, length, word) != 0) return false;
    at_ += length;
    return true;
  }
  // A number above 0 without zeros before it; 0 where there is none.
  int64_t TakeNumber(int most_digits) {
    int64_t number = 0;
    if (at_ < text_.size() && text_[at_] == '0') return 0;
    for (; most_digits > 0 && at_ < text_.size() && IsDigits(text_.substr(at_, 1)); --most_digits, ++at_) {
      number = 10 * number + (text_[at_] - '0');
    }
    return number;
  }
  void TakeBlanks() { at_ = std::min(text_.find_first_not_of(" \t\n\v\f\r", at_), text_.size()); }
  bool is_done() const { return at_ == text_.size(); }

 private:
  const std::string& text_;
  size_t at_ = 0;
};

// int<P> or int<P>x<T>, with what happens beyond them, or as `overflow` says.
IntegerLevel ReadLevel(const Part& part, bool has_terms, const std::string& overflow, const std::string& text) {
  Reader reader(part.text);
  bool is_level = reader.Take("int");
  const int bits = static_cast<int>(reader.TakeNumber(2));
  int64_t terms = 0;
  if (has_terms) {
    is_level = is_level && reader.Take("x");
    terms = reader.TakeNumber(5);
    is_level = is_level && terms > 0;
  }
  const std::string own = reader.Take("-wrap") ? kWrap : reader.Take("-saturate") ? kSaturate : overflow;
  is_level = is_level && reader.is_done();
  if (!is_level || !AreBits(bits) || terms > kMostTerms || own.empty()) {
    FailAt(kExpected + (", got '" + part.text + "'"), part, text);
  }
  return {terms, bits, own == kSaturate};
}

std::string OverflowOf(const IntegerLevel& level) { return level.saturates ? kSaturate : kWrap; }

IntegerSpec ReadLevels(const Part& head, const std::string& text) {
  const std::vector<Part> parts = Split(head, '/');
  if (parts.size() > 2) {
    FailAt(kExpected + (", got " + std::to_string(parts.size()) + " levels"), parts[2], text);
  }
  const IntegerLevel outer = ReadLevel(parts.back(), false, "", text);
  IntegerSpec spec;
  if (parts.size() == 2) {
    const IntegerLevel inner = ReadLevel(parts.front(), true, OverflowOf(outer), text);
    spec.head = "int" + std::to_string(inner.bits) + "x" + std::to_string(inner.terms) +
                (inner.saturates == outer.saturates ? "" : "-" + OverflowOf(inner)) + "/";
    spec.sums.levels.push_back(inner);
  }
  spec.sums.levels.push_back(outer);
  spec.head += "int" + std::to_string(outer.bits) + "-" + OverflowOf(outer);
  return spec;
}

IntegerSpec ReadFixed(const Part& head, const std::string& text) {
  Reader reader(head.text);
  bool is_fixed = reader.Take("fixed<");
  reader.TakeBlanks();
  const int bits = static_cast<int>(reader.TakeNumber(2));
  reader.TakeBlanks();
  is_fixed = is_fixed && reader.Take(",");
  reader.TakeBlanks();
  const int integer_bits = static_cast<int>(reader.TakeNumber(2));
  reader.TakeBlanks();
  is_fixed = is_fixed && reader.Take(">") && reader.is_done();
  if (!is_fixed || !AreBits(bits) || !AreBits(integer_bits)) {
    FailAt("expected fixed<W,I> with W and I from 4 to 64, got '" + head.text + "'", head, text);
  }
  IntegerSpec spec;
  spec.head = "fixed<" + std::to_string(bits) + "," + std::to_string(integer_bits) + ">";
  spec.is_fixed = true;
  spec.sums.levels = {{0, integer_bits, false}};
  spec.sums.dropped_bits = std::max(integer_bits - bits, 0);
  return spec;
}

IntegerSpec NamedSpec(const std::string& name) {
  const bool is_x86 = name == kX86;
  IntegerSpec spec;
  spec.head = name;
  spec.has_operands = false;
  spec.sums.levels = {{2, 16, is_x86}, {0, 32, false}};
  spec.sums.is_raw = spec.sums.is_kernel = spec.sums.is_channels_last = true;
  spec.sums.distance = is_x86 ? 1 : 8;
  // x86 takes uint8 codes, arm int8 ones.
  spec.sums.raw_shifts[static_cast<int>(is_x86 ? CodeType::kInt8 : CodeType::kUint8)] = is_x86 ? 128 : -128;
  return spec;
}

IntegerSpec ReadHead(const Part& head, const std::string& text) {
  if (head.text == kX86 || head.text == kArm) return NamedSpec(head.text);
  return head.text.compare(0, 5, "fixed") == 0 ? ReadFixed(head, text) : ReadLevels(head, text);
}

// Whether the option is key=first or key=second, and then whether it is the second.
bool ReadsChoice(const std::string& option, const std::string& key, const char* first, const char* second,
                 bool* is_second) {
  const std::string value = option.compare(0, key.size(), key) == 0 ? option.substr(key.size()) : "";
  if (value != first && value != second) return false;
  *is_second = value == second;
  return true;
}

void ReadOption(const Part& option, const std::string& text, IntegerSpec* spec) {
  IntegerSums& sums = spec->sums;
  if (spec->has_operands && ReadsChoice(option.text, "operands=", "centered", "raw", &sums.is_raw)) return;
  if (spec->is_fixed && ReadsChoice(option.text, "round=", "floor", "nearest-up", &sums.rounds_up)) return;
  if (spec->is_fixed && ReadsChoice(option.text, "overflow=", kWrap, kSaturate, &sums.levels[0].saturates)) return;
  std::string expected = "no option";
  if (spec->has_operands) expected = "operands=centered or operands=raw";
  if (spec->is_fixed) expected = "round=floor, round=nearest-up, overflow=wrap, overflow=saturate, " + expected;
  FailAt("expected " + expected + ", got '" + option.text + "'", option, text);
}

}  // namespace

bool IsInteger(const std::string& text) {
  const std::string head = Split({text, 0}, ',').front().text;
  return head.compare(0, 3, "int") == 0 || head.compare(0, 5, "fixed") == 0 || head.compare(0, 3, "x86") == 0 ||
         head.compare(0, 3, "arm") == 0;
}

IntegerSpec ParseInteger(const std::string& text) {
  const std::vector<Part> parts = Split({text, 0}, ',');
  IntegerSpec spec = ReadHead(parts.front(), text);
  std::set<std::string> seen;
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::string key = parts[i].text.substr(0, parts[i].text.find('='));
    if (!seen.insert(key).second) FailAt("expected " + key + " once, got it twice", parts[i], text);
    ReadOption(parts[i], text, &spec);
  }
  return spec;
}

std::string TextOf(const IntegerSpec& spec) {
  std::string text = spec.head;
  if (spec.sums.rounds_up) text += ",round=nearest-up";
  if (spec.is_fixed && spec.sums.levels[0].saturates) text += ",overflow=saturate";
  if (spec.has_operands && spec.sums.is_raw) text += ",operands=raw";
  return text;
}

}  // namespace lba
