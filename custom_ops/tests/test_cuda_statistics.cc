// Statistics counted by the CUDA library, run by the emulation, against those of the CPU library: the same counts.
#include <cstring>
#include <string>

#include "tests/cuda_conv_case.h"
#include "tests/cuda_matmul_case.h"

namespace lba {
namespace {

double DrawFraction(uint32_t seed) { return seed % 3 == 0 ? 1.0 : seed % 3 == 1 ? 0.3 : 0.01; }

void Subtract(const LbaStatistics& before, LbaStatistics* counts) {
  constexpr size_t kCounted = offsetof(LbaStatistics, products) / sizeof(int64_t);
  constexpr size_t kWords = sizeof(LbaStatistics) / sizeof(int64_t);
  int64_t from[kWords], to[kWords];
  std::memcpy(from, &before, sizeof from);
  std::memcpy(to, counts, sizeof to);
  for (size_t i = kCounted; i < kWords; ++i) to[i] -= from[i];
  std::memcpy(counts, to, sizeof to);
  counts->outputs -= before.outputs;
  counts->sampled_outputs -= before.sampled_outputs;
}

void CheckEqual(const LbaStatistics& got, const LbaStatistics& expected, const std::string& what) {
  CHECK(got.outputs == expected.outputs && got.sampled_outputs == expected.sampled_outputs, "%s: outputs",
        what.c_str());
  CHECK(got.max_abs_product == expected.max_abs_product && got.max_abs_partial_sum == expected.max_abs_partial_sum &&
            got.max_abs_total == expected.max_abs_total,
        "%s: expected %a %a %a, got %a %a %a", what.c_str(), expected.max_abs_product, expected.max_abs_partial_sum,
        expected.max_abs_total, got.max_abs_product, got.max_abs_partial_sum, got.max_abs_total);
  CHECK(std::memcmp(&got, &expected, sizeof got) == 0, "%s: events or histograms", what.c_str());
}

// `Case` counts its call `call` on the device with Count, and is counted on the CPU by Expected.
template <class Case, class Count>
void CheckCounts(const Case& test, double fraction, int64_t next_call, const Count& count) {
  LbaStatistics first, second;
  CHECK(lba_statistics_open("run", fraction) == LBA_OK, "%s", lba_last_error());
  test.Expected("run/node");
  CHECK(lba_statistics_read("run/node", &first) == LBA_OK, "%s", lba_last_error());
  CheckEqual(count(0), first, test.Text() + ", first call");
  // The CPU library counts its calls, matrix by matrix.
  test.Expected("run/node");
  CHECK(lba_statistics_read("run/node", &second) == LBA_OK, "%s", lba_last_error());
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
    LbaStatistics counts;
    CheckOk(lba_cuda_matmul_statistics(OnCuda(m.spec), &args, call, DrawFraction(seed), &counts, nullptr), "counting",
            seed);
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
    LbaStatistics counts;
    CheckOk(lba_cuda_conv_statistics(OnCuda(c.spec), &args, call, DrawFraction(seed), &counts, nullptr), "counting",
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
