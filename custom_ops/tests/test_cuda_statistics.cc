// Statistics counted by the CUDA library, run by the emulation, against those of the CPU library: the same counts.
#include <cstring>
#include <string>
#include <vector>

#include "tests/cuda_conv_case.h"
#include "tests/cuda_matmul_case.h"

namespace lba {
namespace {

double DrawFraction(uint32_t seed) { return seed % 3 == 0 ? 1.0 : seed % 3 == 1 ? 0.3 : 0.01; }

// With a view of itself as the C API has it.
struct Counted {
  std::vector<LbaLevel> levels;
  LbaStatistics all;

  explicit Counted(const AccumulatorSpec& spec)
      : levels(spec.Groups(1).levels()), all{0, 0, static_cast<int64_t>(levels.size()), levels.data()} {}
  Counted(Counted&&) = default;  // the levels stay where they are
};

void Subtract(const Counted& before, Counted* counts) {
  for (size_t i = 0; i < counts->levels.size(); ++i) {
    const LbaLevel& from = before.levels[i];
    LbaLevel& to = counts->levels[i];
    to.values -= from.values;
    for (int event = 0; event < LBA_LEVEL_EVENTS; ++event) to.events[event] -= from.events[event];
    for (int bin = 0; bin < LBA_LOG2_BINS; ++bin) to.log2[bin] -= from.log2[bin];
  }
  counts->all.outputs -= before.all.outputs;
  counts->all.sampled_outputs -= before.all.sampled_outputs;
}

void CheckEqual(const Counted& got, const Counted& expected, const std::string& what) {
  const bool counts_nothing = expected.all.level_count == 0 && expected.all.outputs == 0;  // no products: no call
  const auto levels = static_cast<int64_t>(expected.levels.size());
  CHECK(got.all.level_count == levels && (counts_nothing || expected.all.level_count == levels), "%s: levels",
        what.c_str());
  CHECK(got.all.outputs == expected.all.outputs && got.all.sampled_outputs == expected.all.sampled_outputs,
        "%s: outputs", what.c_str());
  for (size_t i = 0; i < expected.levels.size(); ++i) {
    const LbaLevel &found = got.levels[i], &wanted = expected.levels[i];
    CHECK(found.max_abs == wanted.max_abs, "%s, level %d: expected %a, got %a", what.c_str(), static_cast<int>(i),
          wanted.max_abs, found.max_abs);
    CHECK(std::memcmp(&found, &wanted, sizeof found) == 0, "%s, level %d: events or histograms", what.c_str(),
          static_cast<int>(i));
  }
}

// `Case` counts its call `call` on the device with Count, and is counted on the CPU by Expected.
template <class Case, class Count>
void CheckCounts(const Case& test, double fraction, int64_t next_call, const Count& count) {
  Counted first(test.spec), second(test.spec);
  CHECK(lba_statistics_open("run", fraction) == LBA_OK, "%s", lba_last_error());
  test.Expected("run/node");
  CHECK(lba_statistics_read("run/node", &first.all) == LBA_OK, "%s", lba_last_error());
  CheckEqual(count(0), first, test.Text() + ", first call");
  // The CPU library counts its calls, matrix by matrix.
  test.Expected("run/node");
  CHECK(lba_statistics_read("run/node", &second.all) == LBA_OK, "%s", lba_last_error());
  Subtract(first, &second);
  CheckEqual(count(next_call), second, test.Text() + ", second call");
  CHECK(lba_statistics_close("run") == LBA_OK, "%s", lba_last_error());
}

void CheckMatMul(uint32_t seed) {
  MatMulCase m(seed);
  const DeviceMemory a(&m.a), b(&m.b);
  LbaCudaMatMulArgs args = m.args;
  args.a = a.data();
  args.b = b.data();
  args.c = nullptr;
  CheckCounts(m, DrawFraction(seed), 1, [&](int64_t call) {
    Counted counts(m.spec);
    CheckOk(lba_cuda_matmul_statistics(OnCuda(m.spec), &args, call, DrawFraction(seed), &counts.all, nullptr),
            "counting", seed);
    return counts;
  });
}

void CheckConv(uint32_t seed) {
  ConvCase c(seed);
  const DeviceMemory x(&c.x), w(&c.w);
  LbaCudaConvArgs args = c.args;
  args.x = x.data();
  args.w = w.data();
  CheckCounts(c, DrawFraction(seed), 1, [&](int64_t call) {
    Counted counts(c.spec);
    CheckOk(lba_cuda_conv_statistics(OnCuda(c.spec), &args, call, DrawFraction(seed), &counts.all, nullptr), "counting",
            seed);
    return counts;
  });
}

}  // namespace
}  // namespace lba

int main(int count, char** arguments) {
  const uint32_t first = count > 1 ? static_cast<uint32_t>(std::atoi(arguments[1])) : 0;
  const uint32_t cases = count > 2 ? static_cast<uint32_t>(std::atoi(arguments[2])) : 40;
  for (uint32_t seed = first; seed < first + cases; ++seed) {
    lba::CheckMatMul(seed);
    lba::CheckConv(seed);
  }
}
