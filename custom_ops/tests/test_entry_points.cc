// What the entry points for other languages refuse, with a code and a reason: nulls, sizes below 0, sizes, strides and
// offsets whose products overflow, numbers that name nothing. They used to read through the nulls.
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "lba/c_api.h"
#include "tests/accumulators.h"
#include "tests/check.h"

namespace {

constexpr int64_t kHuge = std::numeric_limits<int64_t>::max();
constexpr int64_t kLarge = (int64_t{1} << 31) - 1;
constexpr float kPoison = -12345.0f;

// Small products that are computed without a complaint; tests change one thing at a time.
struct Calls {
  const LbaAccumulator* accumulator = lba::OnCpu(lba::ParseSpec("M7E4b12/M7E4b10"));
  std::vector<float> values = std::vector<float>(1000, 1.5f), results = std::vector<float>(1000, kPoison);
  std::vector<float> grad_first = results, grad_second = results;
  int64_t offsets[2] = {0, 10}, gated = 0;
  LbaMatMulArgs matmul{};
  LbaConvArgs conv{};
  const float* grad = values.data();
  int64_t* count = &gated;
  const LbaMatMulArgs* used_matmul = &matmul;
  const LbaConvArgs* used_conv = &conv;
  int32_t threads = 2, estimator = LBA_IMMEDIATE_OVERFLOW;
  const char* statistics = nullptr;

  Calls() {
    matmul.batch = 2;
    matmul.rows = 5;
    matmul.columns = 6;
    matmul.depth = 7;
    matmul.a = matmul.b = values.data();
    matmul.a_offsets = matmul.b_offsets = offsets;
    matmul.a_row_stride = 7;
    matmul.b_depth_stride = 6;
    matmul.a_depth_stride = matmul.b_column_stride = 1;
    matmul.y = results.data();
    conv.rank = 2;
    conv.batch = conv.groups = 1;
    conv.in_channels = conv.out_channels = 2;
    for (int d = 0; d < 2; ++d) {
      conv.input[d] = 6;
      conv.kernel[d] = 3;
      conv.strides[d] = conv.dilations[d] = 1;
    }
    conv.x = conv.w = values.data();
    conv.y = results.data();
  }

  int MatMul() { return lba_matmul(accumulator, used_matmul, threads, statistics); }
  int Conv() { return lba_conv(accumulator, used_conv, threads, statistics); }
  int MatMulGradients() {
    return lba_matmul_gradients(accumulator, used_matmul, estimator, grad, grad_first.data(), grad_second.data(),
                                nullptr, count, threads);
  }
  int ConvGradients() {
    return lba_conv_gradients(accumulator, used_conv, estimator, grad, grad_first.data(), grad_second.data(), nullptr,
                              count, threads);
  }
  bool is_untouched() const {
    for (const std::vector<float>* written : {&results, &grad_first, &grad_second}) {
      for (const float value : *written) {
        if (value != kPoison) return false;
      }
    }
    return true;
  }
};

using Entry = int (Calls::*)();
using Change = std::function<void(Calls&)>;

void CheckRefused(const char* what, Entry entry, const Change& change) {
  Calls calls;
  change(calls);
  const int code = (calls.*entry)();
  CHECK(code == LBA_INVALID_ARGUMENT, "%s: code %d, %s", what, code, lba_last_error());
  CHECK(*lba_last_error() != '\0', "%s: no reason", what);
  CHECK(calls.is_untouched(), "%s: something was written", what);
}

void CheckSoundCalls() {
  for (const Entry entry : {&Calls::MatMul, &Calls::Conv, &Calls::MatMulGradients, &Calls::ConvGradients}) {
    Calls calls;
    CHECK((calls.*entry)() == LBA_OK, "%s", lba_last_error());
    CHECK(!calls.is_untouched(), "nothing was written");
  }
}

void CheckMatMuls(const char* what, const Change& change) {
  CheckRefused(what, &Calls::MatMul, change);
  CheckRefused(what, &Calls::MatMulGradients, change);
}

void CheckConvs(const char* what, const Change& change) {
  CheckRefused(what, &Calls::Conv, change);
  CheckRefused(what, &Calls::ConvGradients, change);
}

void CheckAll(const char* what, const Change& change) {
  CheckMatMuls(what, change);
  CheckConvs(what, change);
}

void CheckSharedRefusals() {
  CheckAll("no accumulator", [](Calls& c) { c.accumulator = nullptr; });
  CheckAll("no arguments", [](Calls& c) {
    c.used_matmul = nullptr;
    c.used_conv = nullptr;
  });
  for (int32_t LbaMatMulArgs::* type : {&LbaMatMulArgs::a_type, &LbaMatMulArgs::b_type, &LbaMatMulArgs::y_type}) {
    CheckMatMuls("another type than float32", [type](Calls& c) { c.matmul.*type = LBA_FLOAT16; });
  }
  for (int32_t LbaConvArgs::* type : {&LbaConvArgs::x_type, &LbaConvArgs::w_type, &LbaConvArgs::y_type}) {
    CheckConvs("another type than float32", [type](Calls& c) { c.conv.*type = LBA_FLOAT16; });
  }
  CheckAll("no threads", [](Calls& c) { c.threads = 0; });
  for (const Entry entry : {&Calls::MatMulGradients, &Calls::ConvGradients}) {
    CheckRefused("no place for the count", entry, [](Calls& c) { c.count = nullptr; });
    CheckRefused("no gradient of the result", entry, [](Calls& c) { c.grad = nullptr; });
    CheckRefused("an estimator that is none", entry, [](Calls& c) { c.estimator = 3; });
    CheckRefused("an estimator below 0", entry, [](Calls& c) { c.estimator = -1; });
  }
  for (const Entry entry : {&Calls::MatMul, &Calls::Conv}) {
    CheckRefused("statistics of no run", entry, [](Calls& c) { c.statistics = "nobody/node"; });
  }
}

void CheckStartRefusals() {
  for (const int64_t value : {kHuge, -kHuge, int64_t{1} << 60}) {
    CheckRefused("a stride of initial values", &Calls::MatMul, [&](Calls& c) {
      c.matmul.initial = c.values.data();
      c.matmul.initial_strides[1] = value;
    });
    CheckRefused("a stride of initial values", &Calls::Conv, [&](Calls& c) {
      c.conv.initial = c.values.data();
      c.conv.initial_strides[2] = value;
    });
  }
}

void CheckMatMulRefusals() {
  CheckMatMuls("no a", [](Calls& c) { c.matmul.a = nullptr; });
  CheckMatMuls("no b", [](Calls& c) { c.matmul.b = nullptr; });
  CheckMatMuls("no offsets of a", [](Calls& c) { c.matmul.a_offsets = nullptr; });
  CheckMatMuls("no offsets of b", [](Calls& c) { c.matmul.b_offsets = nullptr; });
  CheckRefused("no y", &Calls::MatMul, [](Calls& c) { c.matmul.y = nullptr; });
  for (int64_t LbaMatMulArgs::* size :
       {&LbaMatMulArgs::batch, &LbaMatMulArgs::rows, &LbaMatMulArgs::columns, &LbaMatMulArgs::depth}) {
    for (const int64_t value : {int64_t{-1}, std::numeric_limits<int64_t>::min(), kLarge + 1, kHuge}) {
      CheckMatMuls("a size", [&](Calls& c) { c.matmul.*size = value; });
    }
  }
  CheckMatMuls("an output beyond memory", [](Calls& c) { c.matmul.rows = c.matmul.columns = kLarge; });
  CheckMatMuls("products beyond 64 bits", [](Calls& c) {
    c.matmul.rows = c.matmul.columns = int64_t{1} << 20;
    c.matmul.depth = kLarge;
  });
  for (int64_t LbaMatMulArgs::* stride : {&LbaMatMulArgs::a_row_stride, &LbaMatMulArgs::a_depth_stride,
                                          &LbaMatMulArgs::b_depth_stride, &LbaMatMulArgs::b_column_stride}) {
    for (const int64_t value : {kHuge, -kHuge, std::numeric_limits<int64_t>::min(), int64_t{1} << 60}) {
      CheckMatMuls("a stride", [&](Calls& c) { c.matmul.*stride = value; });
    }
  }
  for (const int64_t value : {kHuge, std::numeric_limits<int64_t>::min()}) {
    CheckMatMuls("an offset", [&](Calls& c) { c.offsets[1] = value; });
  }
}

void CheckConvRefusals() {
  CheckConvs("no x", [](Calls& c) { c.conv.x = nullptr; });
  CheckConvs("no w", [](Calls& c) { c.conv.w = nullptr; });
  CheckRefused("no y", &Calls::Conv, [](Calls& c) { c.conv.y = nullptr; });
  for (const int32_t rank : {INT32_MIN, -1, 0, 4, INT32_MAX}) {
    CheckConvs("a rank", [&](Calls& c) { c.conv.rank = rank; });
  }
  for (int64_t LbaConvArgs::* size : {&LbaConvArgs::batch, &LbaConvArgs::in_channels, &LbaConvArgs::out_channels}) {
    for (const int64_t value : {int64_t{-2}, kLarge + 1, kHuge - 1}) {
      CheckConvs("a size", [&](Calls& c) { c.conv.*size = value; });
    }
  }
  for (const int64_t value : {int64_t{0}, int64_t{-1}, int64_t{3}, kHuge}) {
    CheckConvs("groups", [&](Calls& c) { c.conv.groups = value; });
  }
  for (int64_t (LbaConvArgs::*sizes)[3] : {&LbaConvArgs::input, &LbaConvArgs::kernel, &LbaConvArgs::strides,
                                           &LbaConvArgs::dilations, &LbaConvArgs::pads_begin, &LbaConvArgs::pads_end}) {
    for (const int64_t value : {int64_t{-1}, std::numeric_limits<int64_t>::min(), kLarge + 1, kHuge}) {
      CheckConvs("a spatial size", [&](Calls& c) { (c.conv.*sizes)[1] = value; });
    }
  }
  CheckConvs("a negative input within wide pads", [](Calls& c) {
    c.conv.input[0] = -1;
    c.conv.pads_begin[0] = c.conv.pads_end[0] = 4;
  });
  CheckConvs("an input beyond memory",
             [](Calls& c) { c.conv.input[0] = c.conv.input[1] = c.conv.strides[0] = c.conv.strides[1] = kLarge; });
  CheckConvs("an output beyond 64 bits of no images", [](Calls& c) {
    c.conv.rank = 3;
    c.conv.batch = 0;
    for (int d = 0; d < 3; ++d) {
      c.conv.input[d] = c.conv.pads_begin[d] = c.conv.pads_end[d] = kLarge;
      c.conv.kernel[d] = c.conv.strides[d] = c.conv.dilations[d] = 1;
    }
  });
  CheckConvs("filters beyond memory", [](Calls& c) {
    c.conv.kernel[0] = c.conv.kernel[1] = c.conv.input[0] = c.conv.input[1] = int64_t{1} << 26;
  });
}

// Without elements there is nothing to point at.
void CheckEmptyCalls() {
  for (int64_t LbaMatMulArgs::* size : {&LbaMatMulArgs::batch, &LbaMatMulArgs::rows, &LbaMatMulArgs::columns}) {
    Calls calls;
    calls.matmul.*size = 0;
    calls.matmul.a = calls.matmul.b = nullptr;
    calls.matmul.y = nullptr;
    calls.grad = nullptr;
    if (size == &LbaMatMulArgs::batch) calls.matmul.a_offsets = calls.matmul.b_offsets = nullptr;
    CHECK(calls.MatMul() == LBA_OK, "%s", lba_last_error());
    CHECK(calls.MatMulGradients() == LBA_OK && calls.gated == 0, "%s", lba_last_error());
  }
  Calls calls;
  calls.matmul.depth = 0;
  calls.matmul.a = calls.matmul.b = nullptr;
  CHECK(calls.MatMul() == LBA_OK && calls.results[59] == 0 && calls.results[60] == kPoison, "%s", lba_last_error());
  calls.conv.batch = 0;
  calls.conv.x = calls.conv.w = nullptr;
  calls.conv.y = nullptr;
  CHECK(calls.Conv() == LBA_OK, "%s", lba_last_error());
}

// Gradients may be left out, also both; the count is the same. That used to write through the nulls.
void CheckCountAlone() {
  Calls calls;
  calls.matmul.batch = 1;
  calls.accumulator = lba::OnCpu(lba::ParseSpec("M7E2b3/M7E2b3"));  // overflows
  CHECK(calls.MatMulGradients() == LBA_OK && calls.gated > 0, "%s", lba_last_error());
  int64_t gated = 0;
  CHECK(lba_matmul_gradients(calls.accumulator, &calls.matmul, 0, calls.grad, nullptr, nullptr, nullptr, &gated, 1) ==
            LBA_OK,
        "%s", lba_last_error());
  CHECK(gated == calls.gated, "%d", static_cast<int>(gated));
  CHECK(calls.ConvGradients() == LBA_OK && calls.gated > 0, "%s", lba_last_error());
  CHECK(
      lba_conv_gradients(calls.accumulator, &calls.conv, 0, calls.grad, nullptr, nullptr, nullptr, &gated, 1) == LBA_OK,
      "%s", lba_last_error());
  CHECK(gated == calls.gated, "%d", static_cast<int>(gated));
}

// A stride of 0 broadcasts, and negative strides run backwards.
void CheckUnusualCalls() {
  Calls calls;
  calls.matmul.a = calls.values.data() + 500;
  calls.matmul.a_row_stride = -7;
  calls.matmul.b_column_stride = calls.matmul.b_depth_stride = 0;
  calls.offsets[0] = -20;
  calls.matmul.b = calls.values.data() + 500;
  CHECK(calls.MatMul() == LBA_OK && calls.results[0] == 15.75f, "%s", lba_last_error());
}

void CheckStatistics() {
  LbaStatistics counts{};
  const auto ignore = [](const LbaObservation*, void*) -> int32_t { return 0; };
  const int codes[] = {lba_path_counts(nullptr),
                       lba_statistics_open(nullptr, 1),
                       lba_statistics_open("", 1),
                       lba_statistics_open("run/node", 1),
                       lba_statistics_open("run", 0),
                       lba_statistics_open("run", 1.5),
                       lba_statistics_open("run", std::numeric_limits<double>::quiet_NaN()),
                       lba_observer_open(nullptr, ignore, nullptr, 0),
                       lba_observer_open("run", nullptr, nullptr, 0),
                       lba_statistics_close(nullptr),
                       lba_statistics_close("run"),
                       lba_statistics_read(nullptr, &counts),
                       lba_statistics_read("run/node", nullptr),
                       lba_statistics_read("run/node", &counts)};
  for (size_t i = 0; i < std::size(codes); ++i) CHECK(codes[i] == LBA_INVALID_ARGUMENT, "%zu: %d", i, codes[i]);
  CHECK(lba_statistics_levels(nullptr) == nullptr && lba_statistics_levels("run/node") == nullptr, "levels of no run");
  CHECK(lba_accumulator_levels(nullptr) == nullptr, "levels of no accumulator");
}

constexpr char kLevels[] =
    "product overflow underflow\npartial_sum overflow underflow swamped\ntotal overflow underflow swamped";

// There is room, or an error; no room at all asks for the count. A key has the levels of one accumulator.
void CheckLevels() {
  Calls calls;
  CHECK(lba_accumulator_levels(calls.accumulator) == std::string(kLevels), "%s",
        lba_accumulator_levels(calls.accumulator));
  CHECK(lba_statistics_open("levels", 1) == LBA_OK, "%s", lba_last_error());
  LbaStatistics counts{7, 7, 7, nullptr};
  CHECK(lba_statistics_read("levels/node", &counts) == LBA_OK && counts.level_count == 0, "levels before a call");
  CHECK(lba_statistics_levels("levels/node") == std::string(), "names before a call");
  calls.statistics = "levels/node";
  CHECK(calls.MatMul() == LBA_OK, "%s", lba_last_error());
  CHECK(lba_statistics_read("levels/node", &counts) == LBA_OK && counts.level_count == 3, "levels of a call");
  CHECK(lba_statistics_levels("levels/node") == std::string(kLevels), "names of a call");
  std::vector<LbaLevel> levels(3);
  counts = {0, 0, 2, levels.data()};
  CHECK(lba_statistics_read("levels/node", &counts) == LBA_INVALID_ARGUMENT && levels[0].values == 0,
        "too little room");
  CHECK(std::string(lba_last_error()) == "expected room for 3 levels, got 2", "%s", lba_last_error());
  counts.level_count = 4;
  CHECK(lba_statistics_read("levels/node", &counts) == LBA_OK && counts.level_count == 3, "%s", lba_last_error());
  CHECK(levels[0].values > 0 && levels[1].values == levels[0].values && levels[2].values > 0, "nothing was counted");
  CHECK(lba_statistics_close("levels") == LBA_OK, "%s", lba_last_error());
}

// The smallest share samples one position, not all of them.
void CheckSmallestShare() {
  CHECK(lba_statistics_open("rare", std::numeric_limits<double>::denorm_min()) == LBA_OK, "%s", lba_last_error());
  Calls calls;
  calls.statistics = "rare/node";
  calls.matmul.batch = 1;
  CHECK(calls.MatMul() == LBA_OK, "%s", lba_last_error());
  LbaStatistics counts{};
  CHECK(lba_statistics_read("rare/node", &counts) == LBA_OK, "%s", lba_last_error());
  CHECK(counts.outputs == 30 && counts.sampled_outputs == 6, "%d", static_cast<int>(counts.sampled_outputs));
  CHECK(lba_statistics_close("rare") == LBA_OK, "%s", lba_last_error());
}

// A run that could not be opened is null.
void CheckNoRun() {
  lba_run_stop(nullptr);
  lba_run_close(nullptr);
  LbaRunProgress progress = {7, 7, 0.5};
  lba_run_progress(nullptr, nullptr);
  lba_run_progress(nullptr, &progress);
  CHECK(progress.created_nodes == 0 && progress.ended_nodes == 0 && progress.node_share == 0, "%f",
        progress.node_share);
}

}  // namespace

int main() {
  CheckNoRun();
  CheckSoundCalls();
  CheckSharedRefusals();
  CheckStartRefusals();
  CheckMatMulRefusals();
  CheckConvRefusals();
  CheckEmptyCalls();
  CheckCountAlone();
  CheckUnusualCalls();
  CheckStatistics();
  CheckLevels();
  CheckSmallestShare();
}
