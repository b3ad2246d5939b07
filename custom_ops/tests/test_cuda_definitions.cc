// Exact sums and sums by slices on the device, run by the emulation, against the CPU library, bit for bit.
#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "arithmetic/chunked_float/accumulator.h"
#include "arithmetic/chunked_float/cuda_ruled_kind.h"
#include "arithmetic/kulisch/cuda_kind.h"
#include "arithmetic/kulisch/spec.h"
#include "arithmetic/registry.h"
#include "arithmetic/splitk/cuda_kind.h"
#include "arithmetic/splitk/spec.h"
#include "kernels/cuda/defined_kernels.h"
#include "lba/matmul.h"
#include "tests/check.h"

namespace lba {
namespace {

struct Case {
  int64_t rows = 5, columns = 37, depth = 0;
  std::vector<float> a, b, starts;  // a [rows][depth], b [columns][depth], starts [rows][columns] or none
};

// All magnitudes that float32 has, and now and then what is no number.
Case Drawn(int64_t depth, bool is_hostile) {
  Case c;
  c.depth = depth;
  std::mt19937 random(static_cast<unsigned>(depth));
  const auto draw = [&] {
    if (is_hostile && random() % 97 == 0) return random() % 2 == 0 ? HUGE_VALF : NAN;
    const float mantissa = static_cast<float>(static_cast<int32_t>(random())) * 0x1p-31f;
    const int range = is_hostile ? 120 : 4;
    return std::ldexp(mantissa, static_cast<int>(random() % (2 * range)) - range);
  };
  for (int64_t i = 0; i < c.rows * depth; ++i) c.a.push_back(draw());
  for (int64_t i = 0; i < c.columns * depth; ++i) c.b.push_back(draw());
  for (int64_t i = 0; depth != 7 && i < c.rows * c.columns; ++i) c.starts.push_back(draw());
  return c;
}

std::vector<float> OnCpu(const std::string& text, const Case& c) {
  MatMulShape shape;
  shape.rows = c.rows;
  shape.columns = c.columns;
  shape.depth = c.depth;
  shape.a_offsets = shape.b_offsets = {0};
  shape.a_row_stride = shape.b_column_stride = c.depth;
  shape.a_depth_stride = shape.b_depth_stride = 1;
  std::vector<float> y(c.rows * c.columns);
  MatMul(*ParseAccumulator(text), shape, c.a.data(), c.b.data(), nullptr, y.data(), SerialParallel(), nullptr,
         {c.starts.empty() ? nullptr : c.starts.data(), {0, c.columns, 1}});
  return y;
}

template <class Kind>
void CheckKind(const typename Kind::Spec& spec, const std::string& text) {
  for (const bool is_hostile : {false, true}) {
    for (const int64_t depth : {0, 1, 7, 50}) {
      const Case c = Drawn(depth, is_hostile);
      std::vector<float> y(c.rows * c.columns);
      unsigned long long counters[LBA_CUDA_KERNEL_COUNT] = {};
      cuda::MatMulProblem problem{};
      cuda::StridedIndex one;
      one.rank = 1;
      one.sizes[0] = 1;
      problem.rows = {{c.a.data(), false}, one, c.rows, depth, depth, 1};
      problem.columns = {{c.b.data(), false}, one, c.columns, depth, depth, 1};
      problem.output.data = y.data();
      problem.output.starts = !c.starts.empty();
      problem.output.addend.data = c.starts.empty() ? nullptr : c.starts.data();
      problem.addend_row_stride = c.columns;
      problem.addend_column_stride = 1;
      const cuda::defined::MatMulArgs<Kind> args{Kind(spec, depth), problem, c.rows * c.columns, counters};
      cuda::Launch(cuda::defined::MatMulKernel<Kind>, cuda::CeilDiv(args.outputs, cuda::defined::kThreads),
                   cuda::defined::kThreads, nullptr, args);
      const std::vector<float> expected = OnCpu(text, c);
      for (size_t i = 0; i < y.size(); ++i) {
        const bool is_same =
            (std::isnan(y[i]) && std::isnan(expected[i])) || std::memcmp(&y[i], &expected[i], sizeof(float)) == 0;
        CHECK(is_same, "%s, depth %d: %a, on the CPU %a", text.c_str(), static_cast<int>(depth), y[i], expected[i]);
      }
    }
  }
}

void Check(const std::string& text) {
  const SharedAccumulator accumulator = ParseAccumulator(text);
  if (const auto* exact = dynamic_cast<const Kulisch*>(accumulator.get())) {
    return CheckKind<cuda::KulischKind>({exact->result()}, text);
  }
  const SplitKSpec& spec = dynamic_cast<const SplitK&>(*accumulator).spec();
  if (const auto* exact = dynamic_cast<const Kulisch*>(spec.inner.get())) {
    return CheckKind<cuda::SplitKind<cuda::KulischKind>>({{exact->result()}, spec.slices, spec.total}, text);
  }
  const auto& floats = dynamic_cast<const ChunkedFloat&>(*spec.inner);
  CheckKind<cuda::SplitKind<cuda::RuledKind>>({floats.spec(), spec.slices, spec.total}, text);
}

}  // namespace
}  // namespace lba

int main() {
  for (const char* text :
       {"kulisch", "kulisch(float16)", "kulisch(M3E4b6),round=truncate", "splitk4(fp16-fma)",
        "splitk3(M7E4b12/M7E4b10)", "splitk2(M7E4b10,round=stochastic4,seed=5),sum=M7E4b10,round=truncate",
        "splitk3(M7E4b10,tree=4),sum=bfloat16", "splitk4(kulisch(M5E5b15)),sum=M5E5b15"}) {
    lba::Check(text);
  }
  return 0;
}
