#include "arithmetic/chunked_float/named.h"

#include <algorithm>

namespace lba {
namespace {

constexpr char kStochasticSums[] = "fp12-sr";  // and, as people wish, how many random bits

struct Named {
  const char* name;
  const char* text;
};

constexpr Named kNamed[] = {
    {"fp32-fma", "M23E8b127,chunk=none,round=nearest,range=infinity,subnormals=keep,product=exact"},
    {"fp16-fma", "M10E5b15,chunk=none,round=nearest,range=infinity,subnormals=keep,product=exact"},
    {"bf16-fma", "M7E8b127,chunk=none,round=nearest,range=infinity,subnormals=keep,product=exact"},
    {"fp16-mul-add", "M10E5b15/M10E5b15,chunk=none,round=nearest,range=infinity,subnormals=keep"},
    {"wang2018", "M9E6b31,chunk=64,round=nearest,product=exact"},
    {"dlfloat16", "M9E6b31,chunk=none,round=nearest-away,product=exact,codes=dlfloat"},
    {"hfp8", "M9E6b31,chunk=64,round=nearest,product=exact"},
};

}  // namespace

std::string TextOfName(const std::string& name) {
  for (const Named& named : kNamed) {
    if (name == named.name) return named.text;
  }
  if (name.compare(0, sizeof kStochasticSums - 1, kStochasticSums) != 0) return "";
  const std::string bits = name.substr(sizeof kStochasticSums - 1);
  if (bits.size() > 2 || !std::all_of(bits.begin(), bits.end(), [](char c) { return c >= '0' && c <= '9'; })) return "";
  return "M5E6b31,chunk=none,round=stochastic" + (bits.empty() ? "8" : bits) + ",product=exact";
}

}  // namespace lba
