// The entry points of the CUDA library, run by the emulation: what they refuse, empty products, weights that belong to
// another product, calls from several threads, machines without a device.
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "control.h"
#include "tests/cuda_conv_case.h"
#include "tests/cuda_matmul_case.h"

namespace lba {
namespace {

constexpr int64_t kRows = 5, kColumns = 6, kDepth = 7;
constexpr int64_t kWorkspaceBytes = 1 << 16;

// Small products that are computed without a complaint; tests change one thing at a time.
struct Calls {
  AccumulatorSpec spec = ParseSpec("M7E4b12/M7E4b10");
  Tensor values{LBA_FLOAT32, std::vector<float>(1000, 1.5f)}, results{LBA_FLOAT32, std::vector<float>(1000, kPoison)};
  DeviceMemory memory{&values}, y{&results}, workspace{kWorkspaceBytes};
  int64_t workspace_bytes = kWorkspaceBytes;
  char* scratch = static_cast<char*>(workspace.data());
  LbaCudaMatMulArgs matmul{};
  LbaCudaConvArgs conv{};
  LbaCudaWeights* weights = nullptr;

  Calls() {
    matmul.rows = kRows;
    matmul.columns = kColumns;
    matmul.depth = kDepth;
    matmul.a_row_stride = kDepth;
    matmul.b_depth_stride = kColumns;
    matmul.a_depth_stride = matmul.b_column_stride = 1;
    matmul.alpha = matmul.beta = 1;
    matmul.a = matmul.b = memory.data();
    matmul.y = y.data();
    conv.rank = 2;
    conv.batch = conv.groups = 1;
    conv.in_channels = conv.out_channels = 2;
    for (int d = 0; d < 2; ++d) {
      conv.input[d] = 6;
      conv.kernel[d] = 3;
      conv.strides[d] = conv.dilations[d] = 1;
    }
    conv.x = conv.w = memory.data();
    conv.y = y.data();
  }
  ~Calls() { lba_cuda_release(weights); }

  void OnHost() {
    matmul.a = matmul.b = conv.x = conv.w = values.data();
    matmul.y = conv.y = results.data();
  }
  int MatMul() const { return lba_cuda_matmul(OnCuda(spec), &matmul, weights, scratch, workspace_bytes, nullptr); }
  int Conv() const { return lba_cuda_conv(OnCuda(spec), &conv, weights, scratch, workspace_bytes, nullptr); }
  int HostMatMul() {
    OnHost();
    return lba_cuda_matmul_host(OnCuda(spec), &matmul, weights);
  }
  int HostConv() {
    OnHost();
    return lba_cuda_conv_host(OnCuda(spec), &conv, weights);
  }
  int PackMatMul() { return lba_cuda_pack_matmul(OnCuda(spec), &matmul, &weights); }
  int PackConv() { return lba_cuda_pack_conv(OnCuda(spec), &conv, &weights); }
  int MatMulStatistics(double fraction) const {
    LbaStatistics counts{};
    return lba_cuda_matmul_statistics(OnCuda(spec), &matmul, 0, fraction, &counts, nullptr);
  }
  int ConvStatistics(double fraction) const {
    LbaStatistics counts{};
    return lba_cuda_conv_statistics(OnCuda(spec), &conv, 0, fraction, &counts, nullptr);
  }

  bool is_untouched() {
    Tensor device = results;
    y.Read(&device);
    const auto is_poison = [](float value) { return value == kPoison; };
    return std::all_of(device.values.begin(), device.values.end(), is_poison) &&
           std::all_of(results.values.begin(), results.values.end(), is_poison);
  }
};

void CheckRefused(const char* what, int expected_code, const std::function<int(Calls&)>& call) {
  Calls calls;
  const int code = call(calls);
  CHECK(code == expected_code, "%s: expected code %d, got %d: %s", what, expected_code, code, lba_cuda_last_error());
  CHECK(*lba_cuda_last_error() != '\0', "%s: no reason", what);
  CHECK(calls.is_untouched(), "%s: y was written", what);
}

// Refusals that the four entry points of products share. `change` spoils the calls.
void CheckAllRefuse(const char* what, const std::function<void(Calls&)>& change) {
  const std::function<int(Calls&)> entries[] = {[](Calls& c) { return c.MatMul(); },
                                                [](Calls& c) { return c.Conv(); },
                                                [](Calls& c) { return c.HostMatMul(); },
                                                [](Calls& c) { return c.HostConv(); },
                                                [](Calls& c) { return c.PackMatMul(); },
                                                [](Calls& c) { return c.PackConv(); },
                                                [](Calls& c) { return c.MatMulStatistics(1); },
                                                [](Calls& c) { return c.ConvStatistics(1); }};
  for (const auto& entry : entries) {
    CheckRefused(what, LBA_INVALID_ARGUMENT, [&](Calls& calls) {
      change(calls);
      return entry(calls);
    });
  }
}

void CheckSoundCalls() {
  Calls calls;
  CheckOk(calls.MatMul(), "a product", 0);
  CheckOk(calls.Conv(), "a convolution", 0);
  CheckOk(calls.MatMulStatistics(1), "statistics of a product", 0);
  CheckOk(calls.ConvStatistics(0.5), "statistics of a convolution", 0);
  CheckOk(calls.HostMatMul(), "a product of the host's", 0);
  CheckOk(calls.HostConv(), "a convolution of the host's", 0);
}

void CheckSharedRefusals() {
  CheckAllRefuse("a type that is none", [](Calls& c) { c.matmul.type = c.conv.type = 2; });
  CheckAllRefuse("sizes below 0", [](Calls& c) { c.matmul.depth = c.conv.in_channels = -2; });
  CheckAllRefuse("sizes past 2^31", [](Calls& c) { c.matmul.columns = c.conv.kernel[0] = int64_t{1} << 31; });
  CheckAllRefuse("sizes whose product is past 2^62", [](Calls& c) {
    c.matmul.columns = c.conv.in_channels = c.conv.out_channels = (int64_t{1} << 31) - 2;
    c.matmul.depth = (int64_t{1} << 31) - 1;
  });
  CheckAllRefuse("strides past 64 bits, and channels", [](Calls& c) {
    c.matmul.b_depth_stride = c.conv.in_channels = std::numeric_limits<int64_t>::max() - 1;
  });
}

void CheckMatMulRefusals() {
  const auto refuses = [](const char* what, const std::function<void(Calls&)>& change) {
    CheckRefused(what, LBA_INVALID_ARGUMENT, [&](Calls& c) {
      change(c);
      return c.MatMul();
    });
  };
  refuses("no a", [](Calls& c) { c.matmul.a = nullptr; });
  refuses("no b", [](Calls& c) { c.matmul.b = nullptr; });
  refuses("no y", [](Calls& c) { c.matmul.y = nullptr; });
  refuses("nine batch dimensions", [](Calls& c) { c.matmul.batch_rank = 9; });
  refuses("a batch rank below 0", [](Calls& c) { c.matmul.batch_rank = -1; });
  refuses("a batch below 0", [](Calls& c) {
    c.matmul.batch_rank = 1;
    c.matmul.batch[0] = -1;
  });
  refuses("a batch past 64 bits", [](Calls& c) {
    c.matmul.batch_rank = 3;
    for (int i = 0; i < 3; ++i) c.matmul.batch[i] = (int64_t{1} << 31) - 1;
  });
  refuses("strides of a past 64 bits", [](Calls& c) { c.matmul.a_row_stride = int64_t{1} << 61; });
  refuses("strides of the batch past 64 bits", [](Calls& c) {
    c.matmul.batch_rank = 1;
    c.matmul.batch[0] = 2;
    c.matmul.b_batch_strides[0] = std::numeric_limits<int64_t>::min();
  });
  refuses("strides of c past 64 bits", [](Calls& c) {
    c.matmul.c = c.memory.data();
    c.matmul.c_row_stride = int64_t{1} << 61;
  });
  refuses("no scratch memory", [](Calls& c) { c.scratch = nullptr; });
  refuses("little scratch memory", [](Calls& c) {
    CheckOk(lba_cuda_matmul_workspace(OnCuda(c.spec), &c.matmul, nullptr, &c.workspace_bytes), "asking", 0);
    --c.workspace_bytes;
  });
  refuses("unaligned scratch memory", [](Calls& c) {
    c.scratch += 16;
    c.workspace_bytes -= 16;
  });
  CheckRefused("negative strides on the host", LBA_INVALID_ARGUMENT, [](Calls& c) {
    c.matmul.a_row_stride = -kDepth;
    return c.HostMatMul();
  });
  CheckRefused("a tile that is none", LBA_INVALID_ARGUMENT, [](Calls& c) {
    setenv("LBA_ONNX_CUDA_TILE", "huge", 1);
    const int code = c.MatMul();
    unsetenv("LBA_ONNX_CUDA_TILE");
    return code;
  });
}

void CheckConvRefusals() {
  const auto refuses = [](const char* what, const std::function<void(Calls&)>& change) {
    CheckRefused(what, LBA_INVALID_ARGUMENT, [&](Calls& c) {
      change(c);
      return c.Conv();
    });
  };
  refuses("no x", [](Calls& c) { c.conv.x = nullptr; });
  refuses("no w", [](Calls& c) { c.conv.w = nullptr; });
  refuses("no y", [](Calls& c) { c.conv.y = nullptr; });
  refuses("no spatial dimension", [](Calls& c) { c.conv.rank = 0; });
  refuses("four spatial dimensions", [](Calls& c) { c.conv.rank = 4; });
  refuses("no group", [](Calls& c) { c.conv.groups = 0; });
  refuses("groups that do not divide the channels", [](Calls& c) { c.conv.groups = 3; });
  refuses("a kernel larger than the input", [](Calls& c) { c.conv.kernel[1] = 7; });
  refuses("a stride of 0", [](Calls& c) { c.conv.strides[0] = 0; });
  refuses("pads below 0", [](Calls& c) { c.conv.pads_end[0] = -1; });
  refuses("little scratch memory", [](Calls& c) {
    CheckOk(lba_cuda_conv_workspace(OnCuda(c.spec), &c.conv, nullptr, &c.workspace_bytes), "asking", 0);
    --c.workspace_bytes;
  });
}

void CheckNulls() {
  int64_t bytes;
  LbaStatistics counts{};
  LbaCudaWeights* weights = nullptr;
  const Calls c;
  const int codes[] = {
      lba_cuda_device_count(nullptr),
      lba_cuda_device(0, nullptr),
      lba_cuda_allocate(1, nullptr),
      lba_cuda_pack_matmul(OnCuda(c.spec), &c.matmul, nullptr),
      lba_cuda_pack_conv(OnCuda(c.spec), &c.conv, nullptr),
      lba_cuda_matmul_workspace(OnCuda(c.spec), &c.matmul, nullptr, nullptr),
      lba_cuda_matmul_workspace(nullptr, &c.matmul, nullptr, &bytes),
      lba_cuda_conv_workspace(OnCuda(c.spec), nullptr, nullptr, &bytes),
      lba_cuda_matmul(nullptr, &c.matmul, nullptr, nullptr, 0, nullptr),
      lba_cuda_matmul_host(OnCuda(c.spec), nullptr, nullptr),
      lba_cuda_conv(OnCuda(c.spec), nullptr, nullptr, nullptr, 0, nullptr),
      lba_cuda_conv_host(nullptr, &c.conv, nullptr),
      lba_cuda_matmul_statistics(OnCuda(c.spec), &c.matmul, 0, 1, nullptr, nullptr),
      lba_cuda_conv_statistics(OnCuda(c.spec), nullptr, 0, 1, &counts, nullptr),
      c.MatMulStatistics(0),
      c.ConvStatistics(1.5),
      lba_cuda_kernel_counts(nullptr),
      lba_cuda_allocate(-1, nullptr),
      lba_cuda_copy(nullptr, nullptr, -1, nullptr),
      lba_cuda_copy(nullptr, &bytes, 8, nullptr),
      lba_cuda_copy(&bytes, nullptr, 8, nullptr),
      lba_cuda_pack_matmul(OnCuda(c.spec), nullptr, &weights),
      lba_cuda_pack_conv(nullptr, &c.conv, &weights),
      lba_cuda_matmul_statistics(OnCuda(c.spec), &c.matmul, -1, 1, &counts, nullptr),
      lba_cuda_conv_statistics(OnCuda(c.spec), &c.conv, std::numeric_limits<int64_t>::max(), 1, &counts, nullptr)};
  for (size_t i = 0; i < std::size(codes); ++i) CHECK(codes[i] == LBA_INVALID_ARGUMENT, "%zu: %d", i, codes[i]);
  lba_cuda_release(nullptr);
}

// Weights are refused by products that they were not packed for.
void CheckWeights() {
  const int64_t before = lba_cuda_emulation_device_bytes();
  const auto refuses = [](const char* what, const std::function<void(Calls&)>& change) {
    CheckRefused(what, LBA_INVALID_ARGUMENT, [&](Calls& c) {
      CheckOk(c.PackMatMul(), "packing", 0);
      change(c);
      return c.MatMul();
    });
  };
  refuses("weights of another specification", [](Calls& c) { c.spec.chunk_size = 8; });
  refuses("weights without underflow", [](Calls& c) { c.spec.underflow = false; });
  refuses("weights of more columns", [](Calls& c) { --c.matmul.columns; });
  refuses("weights of another depth", [](Calls& c) { ++c.matmul.depth; });
  refuses("weights of another type", [](Calls& c) { c.matmul.type = LBA_FLOAT16; });
  refuses("weights of one matrix for two", [](Calls& c) {
    c.matmul.batch_rank = 1;
    c.matmul.batch[0] = 2;
    c.matmul.b_batch_strides[0] = kDepth * kColumns;
  });
  CheckRefused("weights of a product for a convolution", LBA_INVALID_ARGUMENT, [](Calls& c) {
    CheckOk(c.PackMatMul(), "packing", 0);
    return c.Conv();
  });
  CHECK(lba_cuda_emulation_device_bytes() == before, "packed weights leave nothing behind");
}

// An empty dot product is 0; an output of no elements needs nothing.
void CheckEmptyProducts() {
  Calls calls;
  calls.matmul.depth = 0;
  calls.matmul.a = calls.matmul.b = nullptr;
  CheckOk(calls.MatMul(), "a product of no depth", 0);
  Tensor y = calls.results;
  calls.y.Read(&y);
  for (int64_t i = 0; i < kRows * kColumns; ++i) CHECK(y.values[i] == 0, "%d", static_cast<int>(i));
  CHECK(y.values[kRows * kColumns] == kPoison, "past the output");
  for (int64_t LbaCudaMatMulArgs::* size : {&LbaCudaMatMulArgs::rows, &LbaCudaMatMulArgs::columns}) {
    Calls empty;
    empty.matmul.*size = 0;
    CheckOk(empty.MatMul(), "an empty product", 0);
    CheckOk(empty.HostMatMul(), "an empty product of the host's", 0);
    CHECK(empty.is_untouched(), "an empty product writes nothing");
  }
  Calls weightless;
  weightless.matmul.depth = weightless.conv.in_channels = 0;
  CheckOk(weightless.PackMatMul(), "packing a matrix of no depth", 0);
  CheckOk(weightless.MatMul(), "a product with it", 0);
  Calls from_host;
  from_host.OnHost();
  from_host.matmul.depth = 0;
  from_host.matmul.b_depth_stride = 100;
  CheckOk(from_host.PackMatMul(), "packing a matrix of no depth from the host", 0);
}

void CheckDevices() {
  int32_t count = -1;
  LbaCudaDevice device;
  CheckOk(lba_cuda_device_count(&count), "counting devices", 0);
  CheckOk(lba_cuda_device(0, &device), "describing a device", 0);
  CHECK(count == 1 && *device.name != '\0' && device.memory_bytes > 0 && device.multiprocessors > 0, "%d", count);
  CHECK(lba_cuda_device(1, &device) == LBA_CUDA_FAILED, "a second device");
  void* memory = nullptr;
  CHECK(lba_cuda_allocate(int64_t{1} << 50, &memory) == LBA_OUT_OF_MEMORY, "too much memory");
  CheckOk(Calls().HostMatMul(), "a product after failures", 0);
  setenv("LBA_CUDA_EMULATION_DEVICES", "0", 1);
  CheckOk(lba_cuda_device_count(&count), "counting no devices", 0);
  CHECK(count == 0 && lba_cuda_allocate(16, &memory) == LBA_CUDA_FAILED, "memory of no device");
  unsetenv("LBA_CUDA_EMULATION_DEVICES");
}

// Threads with products of their own, and one that shares its weights.
void CheckThreads() {
  constexpr uint32_t kThreads = 4, kRounds = 10;
  Calls shared;
  CheckOk(shared.PackMatMul(), "packing", 0);
  const auto run = [&shared](uint32_t thread) {
    for (uint32_t round = 0; round < kRounds; ++round) {
      MatMulCase m(1000 * thread + round);
      Tensor y(m.args.type, std::vector<float>(m.batch * m.args.rows * m.args.columns, kPoison));
      m.args.a = m.a.data();
      m.args.b = m.b.data();
      m.args.y = y.data();
      CheckOk(lba_cuda_matmul_host(OnCuda(m.spec), &m.args, nullptr), "computing", m.seed);
      y.Widen();
      CheckSame(y, m.Expected(), m.Text());
      LbaCudaMatMulArgs args = shared.matmul;
      std::vector<float> results(kRows * kColumns, kPoison);
      args.a = shared.values.data();
      args.y = results.data();
      CheckOk(lba_cuda_matmul_host(OnCuda(shared.spec), &args, shared.weights), "computing with shared weights",
              thread);
      for (const float value : results) CHECK(value == 15.75f, "%a", static_cast<double>(value));
    }
  };
  std::vector<std::thread> threads;
  for (uint32_t thread = 0; thread < kThreads; ++thread) threads.emplace_back(run, thread);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace lba

int main() {
  using namespace lba;
  CheckSoundCalls();
  CheckSharedRefusals();
  CheckMatMulRefusals();
  CheckConvRefusals();
  CheckNulls();
  CheckWeights();
  CheckEmptyProducts();
  CheckDevices();
  CheckThreads();
}
