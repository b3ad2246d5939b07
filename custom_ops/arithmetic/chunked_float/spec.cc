#include "arithmetic/chunked_float/spec.h"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <iterator>
#include <set>
#include <vector>

#include "arithmetic/chunked_float/named.h"
#include "arithmetic/text_parts.h"

namespace lba {
namespace {

constexpr int64_t kDefaultChunkSize = 16;
constexpr size_t kMostSeedDigits = 20;
constexpr int kMostRandomBits = 16;
const std::string kRoundings[] = {"truncate", "nearest", "nearest-away", "odd"};  // in the order of Rounding
const std::string kStochastic = "stochastic";

// Whether the text is a format without its bias, such as M7E4.
bool IsFamily(const std::string& text) {
  const size_t exponent = text.find('E');
  return exponent != std::string::npos && text[0] == 'M' && IsDigits(text.substr(1, exponent - 1)) &&
         IsDigits(text.substr(exponent + 1));
}

FloatFormat ReadFormat(const Part& part, const FloatFormat& codes, const std::string& text) {
  if (IsFamily(part.text)) {
    FailAt("expected an exponent bias, as in '" + part.text + "b10', got none (calibration chooses one)", part, text);
  }
  FloatFormat format = codes;
  const std::string reason = ParseFormat(part.text, &format);
  if (!reason.empty()) FailAt(reason, part, text);
  return format;
}

int64_t ReadSize(const std::string& value, const std::string& name, const Part& option, const std::string& text) {
  errno = 0;
  const int64_t size = std::strtoll(value.c_str(), nullptr, 10);
  if (size < 1 || errno == ERANGE) {
    FailAt("expected a " + name + " of at least 1, or none for the whole depth, got " + value, option, text);
  }
  return size;
}

// Whether the text is sizes with an x between each two.
bool IsSizes(const std::string& text) {
  const size_t x = text.find('x');
  return IsDigits(text.substr(0, x)) && (x == std::string::npos || IsSizes(text.substr(x + 1)));
}

void ReadChunks(std::string value, const Part& option, const std::string& text, AccumulatorSpec* spec) {
  std::vector<int64_t> sizes;
  for (size_t x = 0; x != std::string::npos;) {
    x = value.find('x');
    sizes.push_back(ReadSize(value.substr(0, x), "chunk_size", option, text));
    if (x != std::string::npos) value = value.substr(x + 1);
  }
  spec->chunk_size = sizes.front();
  spec->outer_chunks.assign(sizes.begin() + 1, sizes.end());
}

// Whether the value names a rounding.
bool ReadRounding(const std::string& value, AccumulatorSpec* spec) {
  const size_t name = kStochastic.size();
  spec->random_bits = 0;
  if (value.compare(0, name, kStochastic) == 0 && IsDigits(value.substr(name)) && value.size() <= name + 4) {
    spec->rounding = Rounding::kStochastic;
    spec->random_bits = std::atoi(value.c_str() + name);
    return true;
  }
  const auto found = std::find(std::begin(kRoundings), std::end(kRoundings), value);
  if (found == std::end(kRoundings)) return false;
  spec->rounding = static_cast<Rounding>(found - std::begin(kRoundings));
  return true;
}

uint64_t ReadSeed(const std::string& value, const Part& option, const std::string& text) {
  errno = 0;
  const uint64_t seed = std::strtoull(value.c_str(), nullptr, 10);
  if (errno == ERANGE) FailAt("expected a seed below 2^64, got " + value, option, text);
  return seed;
}

std::string KeyOf(const Part& option) { return option.text.substr(0, option.text.find('=')); }

void ReadOption(const Part& option, const std::string& text, AccumulatorSpec* spec) {
  const size_t equals = std::min(option.text.find('='), option.text.size());
  const std::string key = option.text.substr(0, equals);
  const std::string value = equals == option.text.size() ? "" : option.text.substr(equals + 1);
  if (key == "chunk" && value == "none") {
    spec->chunk_size = 0;
  } else if (key == "chunk" && IsSizes(value)) {
    ReadChunks(value, option, text, spec);
  } else if (key == "tree" && IsDigits(value)) {
    spec->tree = ReadSize(value, "tree", option, text);
  } else if (key == "lanes" && IsDigits(value)) {
    spec->lanes = ReadSize(value, "lanes", option, text);
    if (spec->lanes < 2 || spec->lanes > SumOrder::kMostLanes) {
      FailAt("expected 2 to " + std::to_string(SumOrder::kMostLanes) + " lanes, got " + value, option, text);
    }
  } else if (key == "start" && (value == "carry" || value == "zero")) {
    spec->carries = value == "carry";
  } else if (key == "underflow" && (value == "on" || value == "off")) {
    spec->underflow = value == "on";
  } else if (key == "seed" && IsDigits(value) && value.size() <= kMostSeedDigits) {
    spec->seed = ReadSeed(value, option, text);
  } else if (key == "product" && (value == "exact" || value == "rounded")) {
    spec->exact_products = value == "exact";
  } else if (key == "range" && (value == "infinity" || value == "saturate")) {
    spec->accumulator_format.has_infinity = value == "infinity";
  } else if (key == "subnormals" && (value == "keep" || value == "none")) {
    spec->accumulator_format.has_subnormals = value == "keep";
  } else if (key == "codes" && (value == "dlfloat" || value == "plain")) {
    spec->accumulator_format.has_dlfloat_codes = value == "dlfloat";
  } else if (key != "round" || !ReadRounding(value, spec)) {
    FailAt(
        "expected chunk=<size>, chunk=<size>x<size>, chunk=none, tree=<size>, underflow=on, underflow=off, "
        "round=truncate, round=nearest, round=nearest-away, round=odd, round=stochastic<bits>, seed=<number>, "
        "lanes=<count>, product=exact or rounded, range=infinity or saturate, subnormals=keep or none, codes=dlfloat "
        "or plain, start=carry or zero, got '" +
            option.text + "'",
        option, text);
  }
}

// The sizes of all groups, innermost first.
std::vector<int64_t> Sizes(const AccumulatorSpec& spec) {
  std::vector<int64_t> sizes;
  if (spec.tree != 0) sizes.push_back(spec.tree);
  if (spec.chunk_size != 0) sizes.push_back(spec.chunk_size);
  sizes.insert(sizes.end(), spec.outer_chunks.begin(), spec.outer_chunks.end());
  return sizes;
}

std::string CheckRules(const AccumulatorSpec& spec) {
  if (spec.tree > SumOrder::kLargestTree) {
    return "expected a tree of at most " + std::to_string(SumOrder::kLargestTree) + " products, got " +
           std::to_string(spec.tree);
  }
  const std::vector<int64_t> sizes = Sizes(spec);
  if (sizes.size() > SumOrder::kMostLevels) {
    return "expected at most " + std::to_string(SumOrder::kMostLevels) + " levels of groups, got " +
           std::to_string(sizes.size());
  }
  int64_t products = 1;
  for (const int64_t size : sizes) {
    if (size > INT64_MAX / products) return "expected groups of at most " + std::to_string(INT64_MAX) + " products";
    products *= size;
  }
  if (spec.accumulator_format.has_subnormals && !spec.underflow) {
    return "expected underflow on where subnormals are kept, got off";
  }
  const FloatFormat& format = spec.accumulator_format;
  if (format.has_dlfloat_codes && (format.has_infinity || format.has_subnormals || !spec.underflow)) {
    return "expected range=saturate, subnormals=none and underflow=on beside codes=dlfloat";
  }
  const bool is_stochastic = spec.rounding == Rounding::kStochastic;
  const int least = is_stochastic ? 1 : 0, most = is_stochastic ? kMostRandomBits : 0;
  if (spec.random_bits < least || spec.random_bits > most) {
    return "expected random_bits from " + std::to_string(least) + " to " + std::to_string(most) + ", got " +
           std::to_string(spec.random_bits);
  }
  if (spec.lanes != 0 && (spec.tree != 0 || is_stochastic)) {
    return "expected lanes without tree= and without stochastic rounding";
  }
  if (spec.carries && spec.tree == 0 && spec.lanes == 0) {
    return "expected tree= or lanes= beside start=carry: chains that carry on are chunk=none";
  }
  if (spec.seed != 0 && !is_stochastic) return "expected a seed of stochastic rounding alone";
  return "";
}

void ReadOptions(const std::vector<Part>& parts, const std::string& text, AccumulatorSpec* spec) {
  std::set<std::string> seen;
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::string key = KeyOf(parts[i]);
    if (!seen.insert(key).second) FailAt("expected " + key + " once, got it twice", parts[i], text);
    ReadOption(parts[i], text, spec);
  }
  if (seen.count("tree") != 0 && seen.count("chunk") == 0) spec->chunk_size = 0;
  const std::string reason = CheckRules(*spec);
  if (!reason.empty()) FailAt(reason, parts[parts.size() > 1 ? 1 : 0], text);
}

// The text with what its name stands for in place of it; options of the text go before those of the name.
std::string WithoutName(const std::string& text) {
  const std::vector<Part> parts = Split({text, 0}, ',');
  const std::string meaning = TextOfName(parts.front().text);
  if (meaning.empty()) return text;
  const std::vector<Part> meant = Split({meaning, 0}, ',');
  std::string whole = meant.front().text;
  std::set<std::string> said;
  for (size_t i = 1; i < parts.size(); ++i) {
    whole += "," + parts[i].text;
    said.insert(KeyOf(parts[i]));
  }
  for (size_t i = 1; i < meant.size(); ++i) {
    if (said.count(KeyOf(meant[i])) == 0) whole += "," + meant[i].text;
  }
  return whole;
}

// A sum of c independent products grows like sqrt(c), so the products' range lies log2(c) / 2 binades below.
FloatFormat ProductFormatFor(const FloatFormat& accumulator, int64_t group_size, const Part& part,
                             const std::string& text) {
  FloatFormat product = accumulator;
  int log2 = 0;
  while (group_size >> (log2 + 1) != 0) ++log2;
  product.exponent_bias += log2 / 2;
  const std::string reason = CheckFormat(product);
  if (reason.empty()) return product;
  FailAt("accumulator " + TextOf(accumulator) + " with chunk_size " + std::to_string(group_size) +
             " asks for a product bias of " + std::to_string(product.exponent_bias) + ": " + reason +
             "; name both formats, as product/accumulator",
         part, text);
}

}  // namespace

SumOrder AccumulatorSpec::Order(int64_t depth) const {
  const SumGroups groups = Groups(depth);
  SumOrder order;
  order.is_tree = tree != 0;
  order.lanes = static_cast<int>(lanes);
  order.carries = carries;
  order.is_one_chain = Sizes(*this).empty() && lanes == 0;
  order.levels = 0;
  // What lies further out has one group, which joins zero: of that, one level stays where zeros have signs, since 0 +
  // -0 is 0, and all where random bits follow from how far out a level lies.
  int kept = accumulator_format.has_infinity ? 1 : 0;
  while (order.levels < groups.count) {
    const int64_t length = groups.sizes[order.levels];
    order.lengths[order.levels++] = length;
    const bool joins = !carries || order.levels > 1;
    if (length >= depth && joins && rounding != Rounding::kStochastic && kept-- == 0) break;
  }
  return order;
}

SumGroups AccumulatorSpec::Groups(int64_t depth) const {
  const int64_t whole = std::max<int64_t>(depth, 1);
  SumGroups groups;
  int64_t products = 1;
  for (const int64_t size : Sizes(*this)) {
    products = std::min(products, whole) * std::min(size, whole);  // below 2^62
    groups.sizes[groups.count++] = std::min(products, whole);
  }
  if (groups.count == 0) groups.sizes[groups.count++] = whole;
  return groups;
}

std::string CheckSpec(const AccumulatorSpec& spec) {
  const std::string product = CheckFormat(spec.product_format);
  if (!product.empty() && !spec.exact_products) return "product_format: " + product;
  const std::string accumulator = CheckFormat(spec.accumulator_format);
  if (!accumulator.empty()) return "accumulator_format: " + accumulator;
  if (spec.chunk_size < 0) {
    return "chunk_size: expected 0 (the whole depth) or more, got " + std::to_string(spec.chunk_size);
  }
  return CheckRules(spec);
}

bool AccumulatorSpec::IsPlain() const {
  return (rounding == Rounding::kTruncate || rounding == Rounding::kNearest) && !exact_products && lanes == 0 &&
         !carries && !accumulator_format.has_infinity && !accumulator_format.has_subnormals &&
         !accumulator_format.has_dlfloat_codes;
}

bool IsChunkedFloat(const std::string& text) {
  const std::string head = Split({text, 0}, ',').front().text;
  return (!head.empty() && head[0] == 'M') || !TextOfName(head).empty();
}

AccumulatorSpec ParseSpec(const std::string& with_name) {
  const std::string text = WithoutName(with_name);
  const std::vector<Part> parts = Split({text, 0}, ',');
  AccumulatorSpec spec;
  ReadOptions(parts, text, &spec);
  const std::vector<Part> formats = Split(parts.front(), '/');
  if (formats.size() > 2) {
    FailAt("expected one format, or product/accumulator, got '" + parts.front().text + "'", parts.front(), text);
  }
  if (spec.exact_products && formats.size() == 2) {
    FailAt("expected the format of sums alone beside product=exact, got '" + parts.front().text + "'", parts.front(),
           text);
  }
  spec.accumulator_format = ReadFormat(formats.back(), spec.accumulator_format, text);
  if (spec.exact_products) return spec;
  spec.product_format = formats.size() == 2
                            ? ReadFormat(formats.front(), spec.accumulator_format, text)
                            : ProductFormatFor(spec.accumulator_format, spec.tree != 0 ? spec.tree : spec.chunk_size,
                                               formats.front(), text);
  return spec;
}

std::string TextOf(const AccumulatorSpec& spec) {
  const std::string products = spec.exact_products ? "" : TextOf(spec.product_format) + "/";
  std::string text = products + TextOf(spec.accumulator_format);
  if (spec.chunk_size != (spec.tree == 0 ? kDefaultChunkSize : 0) || !spec.outer_chunks.empty()) {
    text += ",chunk=" + (spec.chunk_size == 0 ? "none" : std::to_string(spec.chunk_size));
    for (const int64_t size : spec.outer_chunks) text += "x" + std::to_string(size);
  }
  if (spec.tree != 0) text += ",tree=" + std::to_string(spec.tree);
  if (spec.lanes != 0) text += ",lanes=" + std::to_string(spec.lanes);
  if (!spec.underflow) text += ",underflow=off";
  if (spec.rounding == Rounding::kStochastic) {
    text += ",round=" + kStochastic + std::to_string(spec.random_bits);
  } else if (spec.rounding != Rounding::kTruncate) {
    text += ",round=" + kRoundings[static_cast<int>(spec.rounding)];
  }
  if (spec.seed != 0) text += ",seed=" + std::to_string(spec.seed);
  if (spec.exact_products) text += ",product=exact";
  if (spec.accumulator_format.has_infinity) text += ",range=infinity";
  if (spec.accumulator_format.has_subnormals) text += ",subnormals=keep";
  if (spec.accumulator_format.has_dlfloat_codes) text += ",codes=dlfloat";
  if (spec.carries) text += ",start=carry";
  return text;
}

}  // namespace lba
