#include "arithmetic/integer/spec.h"

#include <cstdlib>
#include <regex>
#include <set>
#include <vector>

#include "arithmetic/text_parts.h"

namespace lba {
namespace {

constexpr char kWrap[] = "wrap", kSaturate[] = "saturate", kX86[] = "x86-u8s8", kArm[] = "arm-smlal16";
constexpr int kLeastBits = 4, kMostBits = 64;
constexpr int64_t kMostTerms = 1 << 16;

int ReadBits(const std::string& digits, const Part& part, const std::string& text) {
  const int bits = std::atoi(digits.c_str());
  if (bits >= kLeastBits && bits <= kMostBits) return bits;
  FailAt("expected from 4 to 64 bits, got " + digits, part, text);
}

// int<P>, int<P>x<T>, with or without what happens beyond them.
struct LevelText {
  int bits = 0;
  int64_t terms = 0;  // 0: not said
  std::string overflow;
};

LevelText ReadLevel(const Part& part, const std::string& text) {
  static const std::regex pattern("int([1-9][0-9]{0,3})(x([1-9][0-9]{0,9}))?(-(wrap|saturate))?");
  std::smatch match;
  if (!std::regex_match(part.text, match, pattern)) {
    FailAt("expected int<bits>-wrap, int<bits>-saturate or int<bits>x<terms>/int<bits>-wrap, got '" + part.text + "'",
           part, text);
  }
  LevelText level{ReadBits(match[1], part, text), 0, match[5]};
  if (!match[3].matched) return level;
  level.terms = std::atoll(match[3].str().c_str());
  if (level.terms > kMostTerms) FailAt("expected tiles of at most 65536 products, got '" + part.text + "'", part, text);
  return level;
}

IntegerSpec ReadLevels(const Part& head, const std::string& text) {
  const std::vector<Part> parts = Split(head, '/');
  const LevelText outer = ReadLevel(parts.back(), text);
  if (parts.size() > 2 || outer.overflow.empty() || outer.terms != 0) {
    FailAt("expected int<bits>-wrap, int<bits>-saturate or int<bits>x<terms>/int<bits>-wrap, got '" + head.text + "'",
           head, text);
  }
  IntegerSpec spec;
  spec.head = parts.back().text;
  if (parts.size() == 2) {
    const LevelText inner = ReadLevel(parts.front(), text);
    if (inner.terms == 0) FailAt("expected a tile, as in int12x64, got '" + parts.front().text + "'", head, text);
    const std::string overflow = inner.overflow.empty() ? outer.overflow : inner.overflow;
    spec.sums.levels.push_back({inner.terms, inner.bits, overflow == kSaturate});
    spec.head = "int" + std::to_string(inner.bits) + "x" + std::to_string(inner.terms) +
                (overflow == outer.overflow ? "" : "-" + overflow) + "/" + spec.head;
  }
  spec.sums.levels.push_back({0, outer.bits, outer.overflow == kSaturate});
  return spec;
}

IntegerSpec ReadFixed(const Part& head, const std::string& text) {
  static const std::regex pattern("fixed<\\s*([1-9][0-9]{0,3})\\s*,\\s*([1-9][0-9]{0,3})\\s*>");
  std::smatch match;
  if (!std::regex_match(head.text, match, pattern)) {
    FailAt("expected fixed<bits,integer bits>, such as fixed<16,20>, got '" + head.text + "'", head, text);
  }
  const int bits = ReadBits(match[1], head, text), integer_bits = ReadBits(match[2], head, text);
  IntegerSpec spec;
  spec.head = "fixed<" + std::to_string(bits) + "," + std::to_string(integer_bits) + ">";
  spec.is_fixed = true;
  spec.sums.levels = {{0, integer_bits, false}};
  spec.sums.dropped_bits = std::max(integer_bits - bits, 0);
  return spec;
}

IntegerSpec NamedSpec(const std::string& name) {
  IntegerSpec spec;
  spec.head = name;
  spec.has_operands = false;
  const bool is_x86 = name == kX86;
  spec.sums.levels = {{2, 16, is_x86}, {0, 32, false}};
  spec.sums.is_raw = spec.sums.needs_signed_w = spec.sums.is_channels_last = true;
  (is_x86 ? spec.sums.int8_x_shift : spec.sums.uint8_x_shift) = is_x86 ? 128 : -128;  // to what the instructions take
  spec.sums.distance = is_x86 ? 1 : 8;
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
  std::string expected = "no options";
  if (spec->has_operands) expected = "operands=centered or operands=raw";
  if (spec->is_fixed) expected = "round=floor, round=nearest-up, overflow=wrap, overflow=saturate, " + expected;
  FailAt("expected " + expected + ", got '" + option.text + "'", option, text);
}

}  // namespace

bool IsInteger(const std::string& text) {
  const std::string head = Split({text, 0}, ',').front().text;
  return head.compare(0, 3, "int") == 0 || head.compare(0, 5, "fixed") == 0 || head == kX86 || head == kArm;
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
