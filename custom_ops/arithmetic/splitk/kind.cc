#include <cstdlib>
#include <string>
#include <vector>

#include "arithmetic/registry.h"
#include "arithmetic/splitk/spec.h"
#include "common/levels.h"

namespace lba {
namespace {

const std::string kName = "splitk", kSum = "sum=";
constexpr int kMostSlices = 1024;
constexpr size_t kMostDigits = 4;

bool Claims(const std::string& text) { return BeginsWith(text, kName); }

// What stands in the parentheses, and how many slices there are.
std::string ReadHead(const Part& head, const std::string& text, int64_t* slices) {
  const size_t open = head.text.find('(');
  const std::string digits = head.text.substr(kName.size(), std::min(open, head.text.size()) - kName.size());
  *slices = IsDigits(digits) && digits.size() <= kMostDigits ? std::atoi(digits.c_str()) : 0;
  if (*slices < 2 || *slices > kMostSlices || open == std::string::npos || head.text.back() != ')') {
    FailAt("expected splitk<n>(<accumulator>) with n from 2 to " + std::to_string(kMostSlices) +
               ", such as splitk4(fp16-fma), got '" + head.text + "'",
           head, text);
  }
  return Split({head.text.substr(open + 1, head.text.size() - open - 2), 0}, '\0').front().text;
}

SharedAccumulator Parse(const std::string& text) {
  const std::vector<Part> parts = Split({text, 0}, ',');
  Part format{HeadOf(ResultFormat()), parts.front().start};
  std::vector<Part> options;
  bool is_said = false;
  for (size_t i = 1; i < parts.size(); ++i) {
    const Part& option = parts[i];
    if (is_said || option.text.compare(0, kSum.size(), kSum) != 0) {
      options.push_back(option);
      continue;
    }
    format = {option.text.substr(kSum.size()), option.start + kSum.size()};
    is_said = true;
  }
  SplitKSpec spec;
  const std::string inner = ReadHead(parts.front(), text, &spec.slices);
  spec.inner = ParseAccumulator(inner);
  if (spec.inner->integers() != nullptr) {
    FailAt("expected slices summed by an accumulator of floats, got " + spec.inner->text(), parts.front(), text);
  }
  spec.total = ReadResultFormat(format, options, text, kSum + "<format>, ");
  if (spec.inner->levels().size() >= kMaxLevels) {
    FailAt("expected slices of at most " + std::to_string(kMaxLevels - 1) + " levels, got " +
               std::to_string(spec.inner->levels().size()),
           parts.front(), text);
  }
  return MakeSplitK(spec);
}

const KindRegistration registration({kName, Claims, Parse, true});

// Those of a slice, whose total is a partial sum here, and the total of all slices.
Levels LevelsOf(const SplitKSpec& spec) {
  Levels levels = spec.inner->levels();
  const size_t partial_sums = levels.size() - 1;
  levels.back().name = "partial_sum" + (partial_sums == 1 ? "" : "_" + std::to_string(partial_sums));
  Level total{"total", spec.total.events()};
  total.events.insert(total.events.begin() + 2, "swamped");
  levels.push_back(total);
  return levels;
}

std::string TextOf(const SplitKSpec& spec) {
  const std::string head = HeadOf(spec.total);
  const std::string sum = head == HeadOf(ResultFormat()) ? "" : "," + kSum + head;
  return kName + std::to_string(spec.slices) + "(" + spec.inner->text() + ")" + sum + OptionsOf(spec.total);
}

}  // namespace

SplitK::SplitK(const SplitKSpec& spec) : Accumulator(TextOf(spec), LevelsOf(spec)), spec_(spec) {}

SharedAccumulator SplitK::InSlice(int64_t index) const {
  SplitKSpec other = spec_;
  other.inner = spec_.inner->InSlice(index * spec_.slices);
  return other.inner == nullptr ? nullptr : MakeSplitK(other);
}

}  // namespace lba
