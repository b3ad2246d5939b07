// What the CUDA library says of an accumulator that it does not compute: host code, which needs no device.
#include <memory>
#include <stdexcept>
#include <string>

#include "arithmetic/accumulator.h"
#include "check.h"
#include "common/arguments.h"
#include "kernels/cuda/problems.h"

namespace {

class OnCpuAlone : public lba::Accumulator {
 public:
  OnCpuAlone() : Accumulator("sum7", {}) {}
};

std::string Refusal(const LbaAccumulator* handle) {
  const LbaCudaMatMulArgs matmul{};
  try {
    lba::cuda::MatMulProblemOf(handle, &matmul);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

}  // namespace

int main() {
  const std::string expected =
      "expected an accumulator that CUDA computes, of a kind out of chunked-float kulisch splitk, got 'sum7', which "
      "the "
      "CPU computes";
  const LbaAccumulator handle{std::make_shared<const OnCpuAlone>(), ""};
  CHECK(Refusal(&handle) == expected, "%s", Refusal(&handle).c_str());
  return 0;
}
