// What texts mean, which are refused and where, and the layout of the structures that callers of the entry points fill.
#include <cstddef>
#include <stdexcept>
#include <string>

#include "arithmetic/accumulator.h"
#include "lba/c_api.h"
#include "tests/check.h"

namespace lba {
namespace {

void ExpectMeaning(const std::string& text, const std::string& expected) {
  const std::string got = ParseAccumulator(text)->text();
  CHECK(got == expected, "%s: expected %s, got %s", text.c_str(), expected.c_str(), got.c_str());
  CHECK(ParseAccumulator(got)->text() == got, "%s changes when it is read again", got.c_str());
}

void CheckMeanings() {
  ExpectMeaning("M7E4b12/M7E4b10", "M7E4b12/M7E4b10");
  ExpectMeaning("M7E4b10", "M7E4b12/M7E4b10");  // floor(log2(16) / 2) above
  ExpectMeaning("M7E4b10,chunk=15", "M7E4b11/M7E4b10,chunk=15");
  ExpectMeaning("M7E4b10,chunk=8", "M7E4b11/M7E4b10,chunk=8");
  ExpectMeaning("M7E4b10,chunk=1", "M7E4b10/M7E4b10,chunk=1");
  ExpectMeaning("M7E4b10,chunk=none", "M7E4b10/M7E4b10,chunk=none");
  ExpectMeaning("M7E4b10,underflow=off,chunk=64", "M7E4b13/M7E4b10,chunk=64,underflow=off");
  ExpectMeaning(" M7E4b12 / M7E4b-3 , chunk=16 ,round=truncate, underflow=on", "M7E4b12/M7E4b-3");
  ExpectMeaning("M7E4b10,round=nearest,chunk=8", "M7E4b11/M7E4b10,chunk=8,round=nearest");
  ExpectMeaning("M7E4b10,chunk=9x8", "M7E4b11/M7E4b10,chunk=9x8");
  ExpectMeaning("M7E4b10,tree=4", "M7E4b11/M7E4b10,tree=4");
  ExpectMeaning("M7E4b10,tree=16,chunk=16", "M7E4b12/M7E4b10,chunk=16,tree=16");
  ExpectMeaning("M7E4b12/M7E4b10,chunk=none,tree=16", "M7E4b12/M7E4b10,tree=16");
  ExpectMeaning("M7E4b10,round=stochastic8,seed=7", "M7E4b12/M7E4b10,round=stochastic8,seed=7");
  ExpectMeaning("M5E6b31,subnormals=keep,product=exact,round=odd", "M5E6b31,round=odd,product=exact,subnormals=keep");
  ExpectMeaning("fp32-fma", "M23E8b127,chunk=none,round=nearest,product=exact,range=infinity,subnormals=keep");
  ExpectMeaning("fp16-fma, chunk=64", "M10E5b15,chunk=64,round=nearest,product=exact,range=infinity,subnormals=keep");
  ExpectMeaning("fp16-mul-add", "M10E5b15/M10E5b15,chunk=none,round=nearest,range=infinity,subnormals=keep");
  ExpectMeaning("fp12-sr4", "M5E6b31,chunk=none,round=stochastic4,product=exact");
  ExpectMeaning("M7E4b10/M7E4b10,chunk=9223372036854775807", "M7E4b10/M7E4b10,chunk=9223372036854775807");
}

// `reason` is part of the message.
void ExpectRefused(const std::string& text, const std::string& reason) {
  LbaAccumulator* accumulator = nullptr;
  CHECK(lba_accumulator_create(text.c_str(), &accumulator) == LBA_INVALID_ARGUMENT, "%s is taken", text.c_str());
  const std::string got = lba_last_error();
  CHECK(got.find(reason) != std::string::npos, "%s: expected %s, got %s", text.c_str(), reason.c_str(), got.c_str());
}

void CheckRefusals() {
  ExpectRefused(
      "", "expected an accumulator such as 'M7E4b12/M7E4b10', of a kind out of chunked-float integer kulisch splitk");
  ExpectRefused("Mine", "expected a format such as M7E4b10, got \"Mine\", at character 1 of the spec 'Mine'");
  ExpectRefused("M7E4", "expected an exponent bias, as in 'M7E4b10', got none");
  ExpectRefused("M23E4b10", "expected mantissa_bits from 0 to 22, got 23, at character 1");
  ExpectRefused("M7E4b12/M7E4b127", "expected exponent_bias of at most 126, got 127, at character 9");
  ExpectRefused("M7E4b10/M7E4b10/M7E4b10", "expected one format, or product/accumulator");
  ExpectRefused("M7E4b126", "name both formats");
  ExpectRefused("M7E4b10,chunk=0", "at least 1, or none for the whole depth, got 0, at character 9");
  ExpectRefused("M7E4b10,chunk=9223372036854775808", "at least 1");
  ExpectRefused("M7E4b10,chunk=9x", "expected chunk=<size>");
  ExpectRefused("M7E4b10,chunk=9x0", "at least 1, or none for the whole depth, got 0");
  ExpectRefused("M7E4b10,chunk=2x2x2x2x2x2x2x2x2", "at most 8 levels of groups, got 9");
  ExpectRefused("M7E4b10,chunk=4294967296x4294967296", "groups of at most 9223372036854775807 products");
  ExpectRefused("M7E4b10,tree=1025", "a tree of at most 1024 products, got 1025");
  ExpectRefused("M7E4b10,round=stochastic17", "random_bits from 1 to 16, got 17");
  ExpectRefused("M7E4b10,round=stochastic", "expected chunk=<size>");
  ExpectRefused("M7E4b10,seed=3", "a seed of stochastic rounding alone");
  ExpectRefused("M7E4b12/M7E4b10,product=exact", "the format of sums alone beside product=exact");
  ExpectRefused("M7E4b10,subnormals=keep,underflow=off", "underflow on where subnormals are kept");
  ExpectRefused("M7E4b10,chunk=-1", "expected chunk=<size>");
  ExpectRefused("M7E4b10, chunk=8,chunk=8", "expected chunk once, got it twice, at character 18");
  ExpectRefused("M7E4b10,underflow=maybe", "expected chunk=<size>");
  ExpectRefused("M7E4b10,", "got '', at character 9");
  ExpectRefused("M7E4b10,round=up", "round=odd, round=stochastic<bits>");
  CHECK(std::string(lba_kinds()) == "chunked-float integer kulisch splitk", "%s", lba_kinds());
  CHECK(lba_accumulator_create(nullptr, nullptr) == LBA_INVALID_ARGUMENT, "nulls are taken");
  lba_accumulator_release(nullptr);
}

// ctypes lays the structures out as its own C compiler would; a test of lba_onnx/native compares both.
void CheckLayout() {
  static_assert(sizeof(void*) == 8 && offsetof(LbaMatMulArgs, first_row) == 16 && offsetof(LbaMatMulArgs, batch) == 40);
  static_assert(sizeof(LbaMatMulArgs) == 40 + 4 * 8 + 16 * 8);
  static_assert(offsetof(LbaConvArgs, rank) == 40 && offsetof(LbaConvArgs, input) == 80);
  static_assert(sizeof(LbaConvArgs) == 80 + 18 * 8 + 11 * 8);
  static_assert(sizeof(LbaObservation) == 4 * sizeof(void*) && sizeof(LbaStatistics) == 3 * 8 + sizeof(void*));
  static_assert(sizeof(LbaLevel) == 8 * (2 + LBA_LEVEL_EVENTS + LBA_LOG2_BINS));
}

}  // namespace
}  // namespace lba

int main() {
  lba::CheckMeanings();
  lba::CheckRefusals();
  lba::CheckLayout();
  return 0;
}
