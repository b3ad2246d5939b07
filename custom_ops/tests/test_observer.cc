// An observer sees every call with operands that give the same bits again, may change the result that the node goes on
// with (a convolution's bias still follows), and may stop the run. One that fills finds results that nobody has
// touched.
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "lba/c_api.h"
#include "lba/conv.h"
#include "lba/matmul.h"
#include "tests/accumulators.h"
#include "tests/check.h"

namespace lba {
namespace {

const AccumulatorSpec kSpec = ParseSpec("M7E4b12/M7E4b10");

struct Seen {
  int calls = 0;
  int32_t answer = 0;
  bool fills = false;
  std::string key;
  std::vector<float> again;  // the results, computed once more
};

std::vector<float> Values(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(static_cast<int>(i * 37 % 101) - 50) / 16;
  return values;
}

// Computes the call again, then doubles the result.
int32_t Observe(const LbaObservation* observation, void* context) {
  Seen* seen = static_cast<Seen*>(context);
  ++seen->calls;
  seen->key = observation->key;
  float* y = nullptr;
  if (observation->matmul != nullptr) {
    LbaMatMulArgs args = *observation->matmul;
    y = static_cast<float*>(args.y);
    seen->again.resize(static_cast<size_t>(args.batch * args.rows * args.columns));
    args.y = seen->again.data();
    CHECK(lba_matmul(OnCpu(ParseSpec(observation->accumulator)), &args, 1, nullptr) == LBA_OK, "%s", lba_last_error());
  } else {
    LbaConvArgs args = *observation->conv;
    y = static_cast<float*>(args.y);
    args.y = seen->again.data();
    CHECK(lba_conv(OnCpu(ParseSpec(observation->accumulator)), &args, 1, nullptr) == LBA_OK, "%s", lba_last_error());
  }
  const std::vector<float> found = seen->fills ? std::vector<float>(seen->again.size()) : seen->again;
  CHECK(std::memcmp(y, found.data(), found.size() * sizeof(float)) == 0, "%s", observation->key);
  for (size_t i = 0; i < seen->again.size(); ++i) y[i] = 2 * seen->again[i];
  return seen->answer;
}

void CheckMatMul(Seen* seen) {
  MatMulShape shape;
  shape.rows = 5;
  shape.columns = 35;
  shape.depth = 40;
  shape.a_offsets = {0, 200};
  shape.b_offsets = {0, 0};
  shape.a_row_stride = 40;
  shape.b_depth_stride = 35;
  const std::vector<float> a = Values(400), b = Values(1400);
  std::vector<float> y(350);
  MatMul(*Made(kSpec), shape, a.data(), b.data(), nullptr, y.data(), ThreadParallel(2),
         FindStatistics("seen/product").get());
  CHECK(seen->calls == 1 && seen->key == "seen/product", "%d %s", seen->calls, seen->key.c_str());
  for (size_t i = 0; i < y.size(); ++i) CHECK(y[i] == 2 * seen->again[i], "%zu", i);
}

void CheckConv(Seen* seen) {
  ConvShape shape;
  shape.batch = 2;
  shape.in_channels = 4;
  shape.out_channels = 6;
  shape.groups = 2;
  shape.input = {1, 7, 6};
  shape.kernel = {1, 3, 2};
  shape.strides = {1, 2, 1};
  shape.pads_begin = {0, 1, 0};
  CHECK(CompleteConvShape(&shape).empty(), "shape");
  const std::vector<float> x = Values(336), w = Values(72), bias = Values(6);
  const size_t size = static_cast<size_t>(12 * shape.output_size());
  std::vector<float> y(size);
  seen->again.assign(size, 0.0f);
  Conv(*Made(kSpec), shape, x.data(), w.data(), nullptr, bias.data(), y.data(), ThreadParallel(2),
       FindStatistics("seen/conv").get());
  for (size_t i = 0; i < size; ++i) {
    const float addend = bias[i / static_cast<size_t>(shape.output_size()) % 6];
    CHECK(y[i] == 2 * seen->again[i] + addend, "%zu", i);
  }
}

void CheckRefusal(Seen* seen) {
  seen->answer = 1;
  bool is_refused = false;
  try {
    CheckMatMul(seen);
  } catch (const std::runtime_error&) {
    is_refused = true;
  }
  CHECK(is_refused, "the node went on");
}

void Run() {
  Seen seen;
  CHECK(lba_observer_open("seen", nullptr, nullptr, 0) == LBA_INVALID_ARGUMENT, "no observer");
  CHECK(lba_observer_open("seen", Observe, &seen, 0) == LBA_OK, "%s", lba_last_error());
  CHECK(lba_observer_open("seen", Observe, &seen, 0) == LBA_INVALID_ARGUMENT, "open already");
  CheckMatMul(&seen);
  CheckConv(&seen);
  CheckRefusal(&seen);
  CHECK(lba_statistics_close("seen") == LBA_OK, "%s", lba_last_error());
  CHECK(FindStatistics("seen/product") == nullptr, "closed");
  Seen filled;
  filled.fills = true;
  CHECK(lba_observer_open("seen", Observe, &filled, 1) == LBA_OK, "%s", lba_last_error());
  CheckMatMul(&filled);
  CheckConv(&filled);
  CHECK(lba_statistics_close("seen") == LBA_OK, "%s", lba_last_error());
}

}  // namespace
}  // namespace lba

int main() { lba::Run(); }
